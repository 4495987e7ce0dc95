import type { DiskEvent } from './system-call-trace.ts';

/** What a store is at when the power fails. */
export type CutPhase = 'creation' | 'commit' | 'compaction' | 'vacuum' | 'checkpoint' | 'snapshot' | 'start and end';

const FRAME_HEADER_BYTES = 24;

/**
 * The phase of each event, from what the calls do; undefined: a line of output. A checkpoint goes from the new page sums to the fsync of the
 * database, a snapshot from its file to the last of its names; a vacuum is a transaction that leaves the database smaller, and
 * compaction one of those for which the workload has shortened the history.
 */
export function phasesOf(events: readonly DiskEvent[]): (CutPhase | undefined)[] {
  const paths = new Map<number, string>();
  const phases: (CutPhase | undefined)[] = [];
  let declared = '';
  let inCheckpoint = false;
  let pageCount = 0;
  let transaction: number[] = [];
  for (const [i, event] of events.entries()) {
    if (event.kind === 'line') {
      declared = /^phase (\w+)/.exec(event.text)?.[1] ?? declared;
      phases.push(undefined);
      continue;
    }
    if (event.kind === 'make') paths.set(event.file, event.path);
    const path = 'file' in event ? (paths.get(event.file) ?? '') : 'path' in event ? event.path : event.to;
    const isWal = path.endsWith('-wal');
    if (/state\.sums\.\d$/.test(path)) inCheckpoint = true;
    if (path.includes('/snapshots')) phases.push('snapshot');
    else if (inCheckpoint) phases.push('checkpoint');
    else if (isWal) phases.push(declared === 'compact' ? 'compaction' : 'commit');
    else phases.push(declared === 'create' ? 'creation' : 'start and end');
    if (inCheckpoint && event.kind === 'sync' && path.endsWith('state.db')) inCheckpoint = false;
    if (!isWal || inCheckpoint) continue;
    transaction.push(i);
    if (event.kind !== 'write' || event.bytes.length !== FRAME_HEADER_BYTES) continue;
    const sizeAfterCommit = event.bytes.readUInt32BE(4);
    if (sizeAfterCommit === 0) continue;
    if (sizeAfterCommit < pageCount) for (const one of transaction) phases[one] = 'vacuum';
    pageCount = sizeAfterCommit;
    transaction = [];
  }
  return phases;
}
