import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { patiently } from '#test/kit/patiently.ts';
import type { EtcdClient } from './etcd-client.ts';
import { KeySpace } from './key-space.ts';
import { RevisionOffset } from './revision-offset.ts';
import { WatchFeed } from './watch-feed.ts';

/** Members of a cluster in the midst of an upgrade; each stream is that of the member that is asked then. */
class Upgrading {
  readonly versions: Readonly<Record<string, string>> = { new: '3.5.13', old: '3.5.12' };
  readonly streams: { readonly server: string; readonly sent: object[]; readonly events: EventEmitter }[] = [];
  readonly revisions = new RevisionOffset(0);
  server = 'new';
  /** Somebody else's call fails just then, and all go to the next member. */
  failsAfterStatus = true;

  async range() {
    return { header: { revision: '10' }, kvs: [], count: '0', more: false };
  }

  async status() {
    const version = this.versions[this.server]!;
    if (this.failsAfterStatus) this.server = 'old';
    this.failsAfterStatus = false;
    return { version };
  }

  leave(): void {}

  watch() {
    const events = new EventEmitter();
    const sent: object[] = [];
    this.streams.push({ server: this.server, sent, events });
    return Object.assign(events, { write: (request: object) => sent.push(request), cancel() {} });
  }
}

it('trusts no member with requests for progress because of the version of another one', async () => {
  const etcd = new Upgrading();
  const clock = new FakeClock();
  const feed = new WatchFeed(
    {
      client: etcd as unknown as EtcdClient,
      keys: new KeySpace('/registry'),
      clock,
      log: silentLogger,
      random: () => 0,
      onRevision() {},
      onProgress() {},
      onLost: () => Promise.reject(new Error('nothing is lost')),
      onOpened() {},
    },
    10,
  );
  feed.start();
  await patiently(async () => {
    await clock.advance(100);
    expect(etcd.streams).toHaveLength(1);
  });
  feed.requestProgress();
  expect(etcd.streams[0]).toMatchObject({ server: 'old', sent: [{ create_request: { progress_notify: false } }] });
  expect(feed.progressSafe).toBe(false);
  feed.stop();
});
