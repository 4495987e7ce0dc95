import type { Pod } from '#api/object/kinds.ts';
import type { SandboxConfig } from '../../cri/runtime.ts';
import { isHostNetwork, namespaceOf, specOf } from '../pod-spec.ts';

export interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface DnsInput {
  readonly pod: Pod;
  readonly host: ResolvConf;
  /** Empty: the cluster has no DNS, so ClusterFirst falls back to the host's. */
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
}

/** glibc's limits, as Kubernetes validates them. */
const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;

export function computeDns(input: DnsInput): NonNullable<SandboxConfig['dns']> {
  const { pod } = input;
  const base = basis(input);
  const custom = specOf(pod).dnsConfig;
  const servers = unique([...base.servers, ...(custom?.nameservers ?? [])]);
  const searches = unique([...base.searches, ...(custom?.searches ?? [])]);
  const options = new Map(base.options.map((option) => [option.split(':')[0] ?? option, option]));
  for (const { name = '', value } of custom?.options ?? []) options.set(name, value ? `${name}:${value}` : name);
  return {
    servers: servers.slice(0, MAX_SERVERS),
    searches: fitSearches(searches),
    options: [...options.values()],
  };
}

function basis({ pod, host, clusterDns, clusterDomain }: DnsInput): ResolvConf {
  const policy = specOf(pod).dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  const isCluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !isHostNetwork(pod));
  if (!isCluster || clusterDns.length === 0) return host;
  const searches = [`${namespaceOf(pod)}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return { servers: clusterDns, searches: unique([...searches, ...host.searches]), options: ['ndots:5'] };
}

const unique = (items: readonly string[]) => [...new Set(items)];

function fitSearches(searches: readonly string[]): string[] {
  const fitting: string[] = [];
  let length = 0;
  for (const search of searches.slice(0, MAX_SEARCHES)) {
    length += search.length + 1;
    if (length > MAX_SEARCH_CHARACTERS) break;
    fitting.push(search);
  }
  return fitting;
}
