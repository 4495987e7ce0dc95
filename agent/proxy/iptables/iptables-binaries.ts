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
export async function chooseIptables(exec: Executor): Promise<IptablesBinaries> {
  const candidates = (await Promise.all([candidate(exec, 'nft'), candidate(exec, 'legacy')])).filter(
    (c) => c !== undefined,
  );
  const preferred = candidates.find((c) => c.hinted) ?? mostRules(candidates);
  if (preferred !== undefined) return preferred.binaries;
  const plain = await plainIptables(exec);
  if (plain === undefined) throw new Error('no iptables on this host: install the package "iptables"');
  return plain;
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

async function candidate(exec: Executor, variant: 'nft' | 'legacy'): Promise<Candidate | undefined> {
  const binaries = await locate(exec, `iptables-${variant}`, variant);
  if (binaries === undefined) return undefined;
  try {
    const { stdout } = await exec.run([binaries.save]);
    return { binaries, hinted: HINT.test(stdout), ruleCount: stdout.match(/^-A /gm)?.length ?? 0 };
  } catch {
    // A kernel without ip_tables refuses the legacy programs (and one without nf_tables the others): not usable here.
    return undefined;
  }
}

async function plainIptables(exec: Executor): Promise<IptablesBinaries | undefined> {
  const iptables = await exec.find('iptables');
  if (iptables === undefined) return undefined;
  const { stdout } = await exec.run([iptables, '--version']);
  return locate(exec, 'iptables', stdout.includes('nf_tables') ? 'nft' : 'legacy');
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
