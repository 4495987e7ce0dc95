import { waitUntil } from '../wait-until.ts';

/** Of a collection at one revision: name to resourceVersion. */
export interface Listed {
  readonly revision: number;
  readonly state: ReadonlyMap<string, string>;
}

export interface WatcherView {
  /** Where its events come from. */
  readonly server: string;
  /** Name to resourceVersion, as the events told. */
  readonly state: ReadonlyMap<string, string>;
  /** Of all events in the order they came. */
  readonly revisions: readonly number[];
}

/**
 * Resolves with a list that every watcher agrees with; throws after `timeoutMs` with those that do not. The store is asked anew each time:
 * a server that was frozen does what it had received when it wakes, after its clients have gone and the load has ended.
 */
export async function agreement(
  watchers: readonly WatcherView[],
  list: () => Promise<Listed>,
  timeoutMs = 30_000,
): Promise<Listed> {
  let truth: Listed | undefined;
  try {
    return await waitUntil('every watcher has the state of the store', timeoutMs, async () => {
      truth = await list();
      return watchers.every(({ state }) => isEqual(state, truth!.state)) ? truth : undefined;
    });
  } catch (err) {
    throw new Error(`${(err as Error).message}; ${truth === undefined ? 'no list came' : whoLags(watchers, truth)}`, {
      cause: err,
    });
  }
}

function whoLags(watchers: readonly WatcherView[], { revision, state }: Listed): string {
  const newest = Math.max(0, ...[...state.values()].map(Number));
  const lagging = watchers.flatMap((watcher, i) =>
    isEqual(watcher.state, state) ? [] : [`watcher ${i} of ${watcher.server} at ${watcher.revisions.at(-1) ?? 'none'}`],
  );
  return `the store is at ${revision}, its newest object at ${newest}: ${lagging.join(', ')}`;
}

const isEqual = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>) =>
  a.size === b.size && [...a].every(([name, version]) => b.get(name) === version);
