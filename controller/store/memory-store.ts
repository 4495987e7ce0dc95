import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { CommitLog } from './commit-log.ts';
import type { Store } from './store.ts';
import { StoreCore, type StoreOptions } from './store-core.ts';

/** Keeps nothing: every commit is done at once. */
export const immediateLog: CommitLog = {
  commit: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

/** A store that lives as long as its process: for tests, and as the oracle that other backends are compared with. Revisions are dense. */
export function createMemoryStore(options: Partial<StoreOptions> = {}): Store {
  const complete: StoreOptions = {
    clock: systemClock,
    log: silentLogger,
    classify: () => ({ labels: {}, fields: {} }),
    ...options,
  };
  return createStoreOverLog(
    { ...complete, pipelineLimits: { volatileGap: 0, ...options.pipelineLimits } },
    immediateLog,
  );
}

/** An empty store over any commit log; tests hand in one that stalls and fails on command. */
export function createStoreOverLog(options: StoreOptions, commitLog: CommitLog): Store {
  return new StoreCore(options, {
    commitLog,
    values: { classify: options.classify, freezeObjects: options.freezeObjects ?? false },
    initial: { revision: 1, objects: [], history: [], compactedRevision: 0 },
    overlaid: new Set(),
    reservedRevision: Number.POSITIVE_INFINITY,
    defer: queueMicrotask,
  });
}
