import { describe, expect, it } from 'vitest';
import { agreement, type Listed, type WatcherView } from '#test/kit/chaos/agreement.ts';

const listed = (revision: number, ...objects: [string, number][]): Listed => ({
  revision,
  state: new Map(objects.map(([name, version]) => [name, String(version)])),
});

const watcherAt = ({ state }: Listed, ...revisions: number[]): WatcherView => ({
  server: 'https://127.0.0.1:1',
  state,
  revisions,
});

describe('agreement of watchers with the store', () => {
  it('takes in a write that comes after the first list', async () => {
    const before = listed(5, ['a', 5]);
    const after = listed(6, ['a', 6]);
    const lists = [before, after];
    await expect(agreement([watcherAt(after, 5, 6)], async () => lists.shift() ?? after)).resolves.toBe(after);
  });

  it('names who lags, and where', async () => {
    const watchers = [watcherAt(listed(6, ['a', 6]), 5, 6), watcherAt(listed(5, ['a', 5]), 5)];
    await expect(agreement(watchers, async () => listed(9, ['a', 6]), 1)).rejects.toThrow(
      /the store is at 9, its newest object at 6: watcher 1 of https:\/\/127\.0\.0\.1:1 at 5$/,
    );
  });
});
