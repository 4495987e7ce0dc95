import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createStoreOverLog, immediateLog } from './memory-store.ts';
import type { NewValue, StoreEvent, WriteDecision } from './store.ts';
import { GatedCommitLog } from './testing/gated-commit-log.ts';
import { classifySample, sampleValue, specOf } from './testing/sample-values.ts';

/** Deterministic, so that a failure can be repeated by its seed. */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const REFUSAL = 'refused by decide';

function decisionOf(dice: number, id: number): WriteDecision {
  if (dice < 6) return { kind: 'put', value: value(id, dice < 2 ? 'volatile' : 'durable') };
  if (dice < 8) return { kind: 'delete' };
  if (dice < 9) return { kind: 'unchanged' };
  throw new Error(REFUSAL);
}

const value = (id: number, durability: NewValue['durability']) => sampleValue('Pod', 'x', { spec: { id } }, durability);

/** Many writers on few keys while the disk stalls and fails at random. */
async function runHistory(seed: number) {
  const random = randomSource(seed);
  const log = new GatedCommitLog(immediateLog);
  const clock = new FakeClock();
  const store = createStoreOverLog(
    { clock, log: silentLogger, classify: classifySample, freezeObjects: true, pipelineLimits: { volatileGap: 3 } },
    log,
  );
  const events: StoreEvent[] = [];
  const first = store.revision;
  store.watch({ prefix: '/', fromRevision: first, onEvent: (event) => events.push(event), onClose() {} });
  const fates: Promise<{ id: number; revision: number | undefined; failure: string | undefined }>[] = [];
  for (let id = 0; id < 400; id++) {
    const dice = random(10);
    fates.push(
      store
        .write(`/k/${random(4)}`, () => decisionOf(dice, id))
        .then(
          (result) => ({ id, revision: result.changed ? result.revision : undefined, failure: undefined }),
          (err: Error) => ({ id, revision: undefined, failure: err.message }),
        ),
    );
    const chance = random(12);
    if (chance === 0) log.stall();
    else if (chance === 1) log.failNext('disk full');
    if (chance < 4) log.release();
    if (random(3) === 0) await clock.advance(0);
  }
  log.release();
  const outcomes = await Promise.all(fates);
  return { store, events, outcomes, first };
}

describe('WritePipeline under stalls and failures', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('acknowledges exactly what everybody sees (seed %i)', async (seed) => {
    const { store, events, outcomes, first } = await runHistory(seed);
    const revisions = events.map((event) => event.revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    const acknowledged = outcomes.flatMap(({ revision }) => revision ?? []).sort((a, b) => a - b);
    expect(revisions).toEqual(acknowledged);
    const failures = new Set(outcomes.map(({ failure }) => failure?.replace(/.*: /, '')));
    expect(failures).toEqual(new Set([undefined, REFUSAL, 'disk full']));

    // Every event starts from the state that the one before it left, and older snapshots are exactly those states.
    const state = new Map<string, unknown>();
    for (const { type, object, previous, revision } of events) {
      expect(specOf(previous)).toEqual(state.get(object.key));
      expect(type === 'ADDED').toBe(previous === undefined);
      if (type === 'DELETED') state.delete(object.key);
      else state.set(object.key, specOf(object));
      const then = [...store.snapshotAt(revision).range('/')].map((each) => [each.key, specOf(each)]);
      expect(then).toEqual([...state].sort());
    }
    const replayed: StoreEvent[] = [];
    store.watch({ prefix: '/', fromRevision: first, onEvent: (event) => replayed.push(event), onClose() {} });
    expect(replayed).toEqual(events);
  });
});
