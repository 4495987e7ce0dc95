import type { IpFamily } from '#api/meta/ip-address.ts';
import type { Executor } from '../../host/host.ts';

/** The programs of one iptables variant. */
export interface IptablesBinaries {
  readonly variant: 'nft' | 'legacy';
  readonly iptables: string;
  readonly restore: string;
  readonly save: string;
}

/** Chains that Kubernetes components leave so that others find the variant in use (KEP-3178). */
const HINT = /^:KUBE-(IPTABLES-HINT|KUBELET-CANARY)\b/m;

/**
 * Chooses between the nft and the legacy programs as the host does: the one where a Kubernetes hint chain stands, else the one with more
 * rules, else what plain `iptables` points to. Throws a plain Error that names the missing package.
 */
export async function chooseIptables(exec: Executor, family: IpFamily = 'IPv4'): Promise<IptablesBinaries> {
  const name = family === 'IPv6' ? 'ip6tables' : 'iptables';
  const candidates = (await Promise.all([candidate(exec, name, 'nft'), candidate(exec, name, 'legacy')])).filter(
    (c) => c !== undefined,
  );
  const preferred = candidates.find((c) => c.hinted) ?? mostRules(candidates);
  if (preferred !== undefined) return preferred.binaries;
  const plain = await plainIptables(exec, name);
  if (plain === undefined) throw new Error(`no ${name} on this host: install the package "iptables"`);
  return plain;
}

/** The programs of the other variant, where this host has them and its kernel takes them. */
export async function otherVariant(exec: Executor, { variant, iptables }: IptablesBinaries) {
  const name = iptables.includes('ip6tables') ? 'ip6tables' : 'iptables';
  return (await candidate(exec, name, variant === 'nft' ? 'legacy' : 'nft'))?.binaries;
}

interface Candidate {
  readonly binaries: IptablesBinaries;
  readonly hinted: boolean;
  readonly ruleCount: number;
}

function mostRules(candidates: readonly Candidate[]): Candidate | undefined {
  const used = candidates.filter((c) => c.ruleCount > 0);
  return used.length === 1 ? used[0] : undefined;
}

async function candidate(exec: Executor, name: string, variant: 'nft' | 'legacy'): Promise<Candidate | undefined> {
  const binaries = await locate(exec, `${name}-${variant}`, variant);
  if (binaries === undefined) return undefined;
  try {
    const { stdout } = await exec.run([binaries.save]);
    return { binaries, hinted: HINT.test(stdout), ruleCount: stdout.match(/^-A /gm)?.length ?? 0 };
  } catch {
    // A kernel without ip_tables refuses the legacy programs (and one without nf_tables the others): not usable here.
    return undefined;
  }
}

async function plainIptables(exec: Executor, name: string): Promise<IptablesBinaries | undefined> {
  const iptables = await exec.find(name);
  if (iptables === undefined) return undefined;
  const { stdout } = await exec.run([iptables, '--version']);
  return locate(exec, name, stdout.includes('nf_tables') ? 'nft' : 'legacy');
}

async function locate(
  exec: Executor,
  prefix: string,
  variant: 'nft' | 'legacy',
): Promise<IptablesBinaries | undefined> {
  const [iptables, restore, save] = await Promise.all([
    exec.find(prefix),
    exec.find(`${prefix}-restore`),
    exec.find(`${prefix}-save`),
  ]);
  if (iptables === undefined || restore === undefined || save === undefined) return undefined;
  return { variant, iptables, restore, save };
}
