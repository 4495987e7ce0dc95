import type { Pod } from '#api/object/kinds.ts';
import { namespaceOf, specOf } from '../pod-spec.ts';

const MAX_HOSTNAME = 63;

export interface PodHostname {
  /** What `hostname` prints in the pod. */
  readonly hostname: string;
  /** `<hostname>.<subdomain>.<namespace>.svc.<domain>`, or undefined without a subdomain. */
  readonly fqdn: string | undefined;
}

export function computeHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { hostname, subdomain, setHostnameAsFQDN, hostnameOverride } = specOf(pod);
  if (hostnameOverride !== undefined) return { hostname: hostnameOverride, fqdn: undefined };
  const name = hostname || pod.metadata.name;
  const short = name.slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '');
  const fqdn = subdomain ? `${short}.${subdomain}.${namespaceOf(pod)}.svc.${clusterDomain}` : undefined;
  return { hostname: setHostnameAsFQDN && fqdn !== undefined ? fqdn : short, fqdn };
}

export interface HostsFileInput {
  readonly pod: Pod;
  readonly podIps: readonly string[];
  readonly name: PodHostname;
  /** The host's own file, for pods on the host's network. */
  readonly hostFile: string | undefined;
}

/** The managed /etc/hosts; its first line is the mark by which tools recognise it. */
export function renderHostsFile({ pod, podIps, name, hostFile }: HostsFileInput): string {
  const lines: string[] = [];
  if (hostFile !== undefined) {
    lines.push('# Kubernetes-managed hosts file (host network).', hostFile.trimEnd());
  } else {
    lines.push(
      '# Kubernetes-managed hosts file.',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      'fe00::0\tip6-localnet',
      'fe00::0\tip6-mcastprefix',
      'fe00::1\tip6-allnodes',
      'fe00::2\tip6-allrouters',
    );
    const short = name.fqdn === undefined ? name.hostname : (name.fqdn.split('.')[0] ?? name.hostname);
    for (const ip of podIps) lines.push(name.fqdn === undefined ? `${ip}\t${short}` : `${ip}\t${name.fqdn}\t${short}`);
  }
  const aliases = specOf(pod).hostAliases ?? [];
  if (aliases.length > 0) lines.push('', '# Entries added by HostAliases.');
  for (const { ip, hostnames = [] } of aliases) lines.push([ip, ...hostnames].join('\t'));
  return `${lines.join('\n')}\n`;
}
