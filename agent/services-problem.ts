import { describeError } from '#base/errors.ts';
import type { NetworkProblem } from './network/network-problem.ts';
import type { BackendLacks } from './proxy/choose-backend.ts';

/** A lock that somebody holds, or a program that was killed, is gone at the next try or the one after. */
const PASSING_FAILURES = 4;

/** Why Services of this node cannot be programmed and what helps; both the agent's condition and `coracle doctor network` show it. */
export function lacksProblem({ mode, lacks, otherMode }: BackendLacks): NetworkProblem[] {
  const [first] = lacks;
  if (first === undefined) return [];
  const isKnown = lacks.every(({ needs }) => needs.length > 0);
  const options = [...new Set(lacks.flatMap(({ needs }) => needs.map(({ option }) => option)))];
  const what = lacks.map(({ family, needs }) =>
    needs.map(({ feature, option }) => `${feature} (${option}${family === 'IPv6' ? ', IPv6' : ''})`).join(', '),
  );
  const kernel = `use a kernel with ${isKnown ? options.join(', ') : mode === 'nftables' ? 'nf_tables' : 'netfilter'}, or load what it has as modules`;
  const problem = {
    reason: 'ServicesNotProgrammed',
    cause: `Services do not answer on this node, because the kernel takes no rules of ${mode}: ${isKnown ? `it lacks ${what.join(', ')}` : first.said}`,
    cure: otherMode === undefined ? kernel : `set proxyMode: ${otherMode}, whose rules this kernel takes, or ${kernel}`,
    isDegraded: false,
  };
  return [problem];
}

/** The same after a failed sync: of a kernel that takes each kind of rule only what lasts is told. */
export function syncProblem(found: BackendLacks, err: unknown, failures: number): NetworkProblem[] {
  const lacking = lacksProblem(found);
  if (lacking.length > 0 || failures < PASSING_FAILURES) return lacking;
  const problem = {
    reason: 'ServicesNotProgrammed',
    cause: `changes of Services do not arrive on this node, because their rules cannot be set: ${describeError(err)}`,
    cure: `look at what ${found.mode === 'nftables' ? 'nft' : 'iptables'} says on this host; the agent tries again by itself`,
    isDegraded: false,
  };
  return [problem];
}

export const dnsProblem = (err: unknown): NetworkProblem => ({
  reason: 'NoClusterDns',
  cause: `the cluster DNS does not answer on this node, so pods find no names: ${describeError(err)}`,
  cure: 'make way for it (dnsPort is its port) and restart the agent; or set clusterDns to nothing where you run a DNS of your own',
  isDegraded: true,
});
