import type { LedgerRecord } from './ledger-record.ts';

/** One way only; see NEXT_PHASES. */
export type PodPhase = 'sync' | 'terminating' | 'terminated' | 'gone';

/** From where each phase may go on to. */
export const NEXT_PHASES: Readonly<Record<PodPhase, readonly PodPhase[]>> = {
  sync: ['terminating'],
  terminating: ['terminated'],
  terminated: ['gone'],
  gone: [],
};

/** Where a worker begins, by what the node remembers of its pod. */
export function phaseOf(record: LedgerRecord | undefined): PodPhase {
  if (record?.terminatedAtMs !== undefined) return 'terminated';
  return record?.termination === undefined ? 'sync' : 'terminating';
}
