import type { IpFamily } from '#api/meta/ip-address.ts';
import { describeError } from '#base/errors.ts';
import { ExecError, type Executor } from '../host/host.ts';
import type { IptablesBinaries } from './iptables/iptables-binaries.ts';

/** One thing that rules of ours ask of the kernel. */
export interface KernelNeed {
  /** As users know it. */
  readonly feature: string;
  /** What brings it when a kernel is built. */
  readonly option: string;
  /** A rule that asks for it; of iptables without its chain, of nftables as `nft` reads it. */
  readonly rule: string;
  /** Of iptables. */
  readonly table?: 'nat' | 'filter';
}

/** What the kernel refused. */
export interface KernelLack {
  readonly family: IpFamily;
  /** Empty: each rule alone is taken, so that it is none of the features we know of. */
  readonly needs: readonly KernelNeed[];
  /** The program's own words about all of them together. */
  readonly said: string;
}

const iptablesNeed = (feature: string, option: string, rule: string, table: 'nat' | 'filter' = 'nat'): KernelNeed => ({
  feature,
  option: `CONFIG_NETFILTER_XT_${option}`,
  rule,
  table,
});

/** Every match and target that rules of `iptables/` use. */
function iptablesNeeds(family: IpFamily): readonly KernelNeed[] {
  const [any, target] = family === 'IPv6' ? ['::/0', '[fd00::1]:1'] : ['0.0.0.0/0', '192.0.2.1:1'];
  return [
    iptablesNeed('comment', 'MATCH_COMMENT', '-m comment --comment probe -j RETURN'),
    iptablesNeed('statistic', 'MATCH_STATISTIC', '-m statistic --mode random --probability 0.5 -j RETURN'),
    iptablesNeed('addrtype', 'MATCH_ADDRTYPE', '-m addrtype --dst-type LOCAL -j RETURN'),
    iptablesNeed('mark', 'MARK', '-m mark --mark 0x4000/0x4000 -j MARK --xor-mark 0x4000'),
    iptablesNeed('recent', 'MATCH_RECENT', '-m recent --name coracle-probe --rcheck --seconds 1 --reap -j RETURN'),
    iptablesNeed('MASQUERADE', 'TARGET_MASQUERADE', '-j MASQUERADE --random-fully'),
    iptablesNeed('DNAT', 'NAT', `-p tcp -m tcp -d ${any} -j DNAT --to-destination ${target}`),
    iptablesNeed('conntrack', 'MATCH_CONNTRACK', '-m conntrack --ctstate NEW -j RETURN', 'filter'),
    {
      feature: 'REJECT',
      option: `CONFIG_IP${family === 'IPv6' ? '6' : ''}_NF_TARGET_REJECT`,
      rule: '-j REJECT',
      table: 'filter',
    },
  ];
}

/** Every expression that rules of `nftables/` use. */
function nftablesNeeds(family: IpFamily): readonly KernelNeed[] {
  const [f, address] = family === 'IPv6' ? ['ip6', 'fd00::1'] : ['ip', '192.0.2.1'];
  return [
    { feature: 'fib', option: `CONFIG_NFT_FIB_IPV${family === 'IPv6' ? 6 : 4}`, rule: 'fib daddr type local accept' },
    { feature: 'numgen', option: 'CONFIG_NFT_NUMGEN', rule: 'numgen random mod 2 vmap { 0 : accept, 1 : drop }' },
    { feature: 'ct', option: 'CONFIG_NFT_CT', rule: 'ct state new accept' },
    { feature: 'reject', option: `CONFIG_NFT_REJECT_IPV${family === 'IPv6' ? 6 : 4}`, rule: 'reject' },
    { feature: 'dnat', option: 'CONFIG_NFT_NAT', rule: `meta l4proto tcp dnat ${f} to ${address}` },
    { feature: 'masquerade', option: 'CONFIG_NFT_MASQ', rule: 'masquerade fully-random' },
  ];
}

const CHAIN = 'CORACLE-PROBE';

/**
 * Asks the kernel for everything that rules of iptables need: in a chain that nothing leads to, and that is gone when this answers. Both
 * variants of the program look at what a transaction leaves behind alone, so that it takes two.
 */
export async function findIptablesLack(
  exec: Executor,
  { restore }: Pick<IptablesBinaries, 'restore'>,
  family: IpFamily,
): Promise<KernelLack | undefined> {
  const run = (lines: (table: 'nat' | 'filter') => readonly string[]) => {
    const text = (['nat', 'filter'] as const).map((table) => {
      const body = lines(table);
      return body.length === 0 ? '' : [`*${table}`, `:${CHAIN} - [0:0]`, ...body, 'COMMIT', ''].join('\n');
    });
    return exec.run([restore, '--noflush', '-w', '5'], { stdin: text.join('') });
  };
  return findLack(family, iptablesNeeds(family), async (needs) => {
    const rulesOf = (table: string) =>
      needs.filter((need) => need.table === table).map(({ rule }) => `-A ${CHAIN} ${rule}`);
    try {
      await run(rulesOf);
    } finally {
      // Each table is a transaction of its own: the first may stand where the second was refused.
      for (const table of ['nat', 'filter'] as const)
        await run((each) => (each === table && rulesOf(table).length > 0 ? [`-X ${CHAIN}`] : [])).catch(() => {});
    }
  });
}

/** The same of nftables, whose programs have the kernel judge a transaction that is never committed. */
export async function findNftablesLack(exec: Executor, nft: string, family: IpFamily): Promise<KernelLack | undefined> {
  const t = `${family === 'IPv6' ? 'ip6' : 'ip'} coracle-probe`;
  return findLack(family, nftablesNeeds(family), async (needs) => {
    const chains = needs.flatMap(({ feature, rule }) => {
      const isNat = feature === 'dnat' || feature === 'masquerade';
      const hook = isNat ? `{ type nat hook ${feature === 'dnat' ? 'prerouting' : 'postrouting'} priority 0 ; }` : '';
      return [`add chain ${t} probe-${feature} ${hook}`.trimEnd(), `add rule ${t} probe-${feature} ${rule}`];
    });
    await exec.run([nft, '--check', '-f', '-'], { stdin: `${[`add table ${t}`, ...chains].join('\n')}\n` });
  });
}

/** All at once, which is one run of a program; only when that fails each by itself. */
async function findLack(
  family: IpFamily,
  needs: readonly KernelNeed[],
  ask: (needs: readonly KernelNeed[]) => Promise<unknown>,
): Promise<KernelLack | undefined> {
  const refusal = (asked: readonly KernelNeed[]): Promise<string | undefined> =>
    ask(asked).then(
      () => undefined,
      (err: unknown) => (isOfKernel(err) ? describeError(err) : undefined),
    );
  const said = await refusal(needs);
  if (said === undefined) return undefined;
  const lacking: KernelNeed[] = [];
  for (const need of needs) if ((await refusal([need])) !== undefined) lacking.push(need);
  return { family, needs: lacking, said };
}

/** Not where the program did not get so far: it was not run, took too long, or another one held the lock of all tables. */
const isOfKernel = (err: unknown): boolean =>
  err instanceof ExecError && err.exitCode !== null && !err.stderr.includes('xtables lock');
