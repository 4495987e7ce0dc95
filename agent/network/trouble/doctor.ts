import type { NetworkProblem } from '../network-problem.ts';
import { type ExamineOptions, examineHost } from './examine-host.ts';
import { type FactSources, readHostNetworkFacts } from './host-facts.ts';

export interface NetworkReport {
  readonly isSound: boolean;
  readonly lines: readonly string[];
}

export interface DoctorOptions extends FactSources, ExamineOptions {
  /** What else is looked at, by whom it concerns. */
  readonly findMore?: () => Promise<readonly NetworkProblem[]>;
}

/** What `coracle doctor network` prints. Changes nothing. */
export async function examineNetwork(options: DoctorOptions): Promise<NetworkReport> {
  const found = examineHost(await readHostNetworkFacts(options), options);
  return renderNetworkReport([...found, ...((await options.findMore?.()) ?? [])]);
}

export function renderNetworkReport(problems: readonly NetworkProblem[]): NetworkReport {
  if (problems.length === 0)
    return {
      isSound: true,
      lines: ['sound: nothing on this host is in the way of pods', 'what lies between nodes: kubectl describe node'],
    };
  return {
    isSound: false,
    lines: problems.flatMap(({ reason, cause, cure }) => [`found: ${reason}: ${cause}`, `  to cure it: ${cure}`]),
  };
}
