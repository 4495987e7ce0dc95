import type { IpFamily } from '#api/meta/ip-address.ts';
import { describeError } from '#base/errors.ts';
import type { Host } from '../../host/host.ts';

/** One base chain of nftables that belongs to nobody we know, and the rules that it leads to. */
export interface ForeignChain {
  /** `inet firewalld` */
  readonly table: string;
  readonly chain: string;
  readonly hook: 'forward' | 'input';
  readonly policy: 'accept' | 'drop';
  /** Of the whole table, as JSON of `nft -j`. */
  readonly rules: readonly string[];
}

/** What the host's kernel and the rules of others are like. */
export interface HostNetworkFacts {
  /** Values of kernel keys; undefined: there is no such key. */
  readonly forwarding: Readonly<Record<IpFamily, string | undefined>>;
  readonly bridgeNetfilter: Readonly<Record<IpFamily, string | undefined>>;
  /** Why rules of nftables cannot be set; undefined: they can. */
  readonly nftProblem: string | undefined;
  /** The program that ends flows. */
  readonly hasConntrack: boolean;
  readonly foreignChains: readonly ForeignChain[];
  /** What the variant of iptables that is not in use holds, as its `-save` prints it; empty: nothing, or there is none. */
  readonly otherIptables: { readonly program: string; readonly rules: string };
}

export const KERNEL_KEYS: Readonly<
  Record<IpFamily, { readonly forwarding: string; readonly bridgeNetfilter: string }>
> = {
  IPv4: { forwarding: 'net.ipv4.ip_forward', bridgeNetfilter: 'net.bridge.bridge-nf-call-iptables' },
  IPv6: { forwarding: 'net.ipv6.conf.all.forwarding', bridgeNetfilter: 'net.bridge.bridge-nf-call-ip6tables' },
};

/** Tables that iptables-nft keeps, where chains of our own come first, and tables of ours. */
const KNOWN_TABLES = /^(ip6?|arp|bridge) (filter|nat|mangle|raw|security)$|^\S+ (kube-proxy|coracle-.*)$/;

interface TableListing {
  readonly nftables?: readonly {
    readonly table?: { readonly family: string; readonly name: string };
    readonly chain?: {
      readonly name: string;
      readonly type?: string;
      readonly hook?: string;
      readonly policy?: string;
    };
    readonly rule?: { readonly expr?: unknown };
  }[];
}

export interface FactSources {
  readonly host: Host;
  /** `iptables` of the variant in use. */
  readonly iptables: string;
}

/** Asks the kernel; changes nothing. */
export async function readHostNetworkFacts({ host, iptables }: FactSources): Promise<HostNetworkFacts> {
  const byFamily = async (key: 'forwarding' | 'bridgeNetfilter') => ({
    IPv4: await host.readSysctl(KERNEL_KEYS.IPv4[key]),
    IPv6: await host.readSysctl(KERNEL_KEYS.IPv6[key]),
  });
  const [forwarding, bridgeNetfilter, conntrack, nft, otherIptables] = await Promise.all([
    byFamily('forwarding'),
    byFamily('bridgeNetfilter'),
    host.exec.find('conntrack'),
    readForeignChains(host),
    readOtherVariant({ host, iptables }),
  ]);
  return { forwarding, bridgeNetfilter, hasConntrack: conntrack !== undefined, ...nft, otherIptables };
}

async function readForeignChains({ exec }: Host): Promise<Pick<HostNetworkFacts, 'nftProblem' | 'foreignChains'>> {
  const list = async (...what: readonly string[]): Promise<NonNullable<TableListing['nftables']>> => {
    const { stdout } = await exec.run(['nft', '-j', 'list', ...what]);
    return (JSON.parse(stdout === '' ? '{}' : stdout) as TableListing).nftables ?? [];
  };
  try {
    const foreignChains: ForeignChain[] = [];
    for (const { table } of await list('tables')) {
      if (table === undefined || KNOWN_TABLES.test(`${table.family} ${table.name}`)) continue;
      if (!['ip', 'ip6', 'inet'].includes(table.family)) continue;
      const parts = await list('table', table.family, table.name);
      const rules = parts.flatMap(({ rule }) => (rule === undefined ? [] : [JSON.stringify(rule.expr ?? [])]));
      for (const { chain } of parts) {
        if (chain?.type !== 'filter' || (chain.hook !== 'forward' && chain.hook !== 'input')) continue;
        const policy = chain.policy === 'drop' ? 'drop' : 'accept';
        foreignChains.push({
          table: `${table.family} ${table.name}`,
          chain: chain.name,
          hook: chain.hook,
          policy,
          rules,
        });
      }
    }
    return { nftProblem: undefined, foreignChains };
  } catch (err) {
    return { nftProblem: describeError(err), foreignChains: [] };
  }
}

async function readOtherVariant({ host, iptables }: FactSources): Promise<HostNetworkFacts['otherIptables']> {
  const isLegacy = (await host.exec.run([iptables, '--version'])).stdout.includes('legacy');
  const program = isLegacy ? 'iptables-nft' : 'iptables-legacy';
  if ((await host.exec.find(`${program}-save`)) === undefined) return { program, rules: '' };
  try {
    return { program, rules: (await host.exec.run([`${program}-save`, '-t', 'filter'])).stdout };
  } catch {
    // A kernel without ip_tables has no such rules either.
    return { program, rules: '' };
  }
}
