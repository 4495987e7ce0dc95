import { withoutResourceVersion } from '#api/codec/resource-version.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { SealingKeys, ValueSealer } from '../seal/value-sealer.ts';
import type { Store } from '../store.ts';
import type { EtcdClient } from './etcd-client.ts';
import { type KeySpace, successor } from './key-space.ts';

export interface ResealOptions {
  readonly client: Pick<EtcdClient, 'range'>;
  readonly keys: KeySpace;
  readonly sealer: Pick<ValueSealer, 'isCurrent'>;
  readonly ring: Pick<SealingKeys, 'newest'>;
  readonly store: Pick<Store, 'write'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1): API servers that start together do not do the same work together. */
  readonly random: () => number;
}

const STEP_MS = 1_000;
/** Values looked at, and written anew, in one step. */
const LOOK_VALUES = 200;
const RESEAL_VALUES = 20;
const START_AFTER_MS = 60_000;
/** How often is looked whether another key has taken over. */
const IDLE_MS = 60_000;

/**
 * Writes values anew that are not sealed as they would be today: in the clear, or under a key that has retired. On etcd that is a write like
 * any other, with a revision and an event, as Kubernetes' own migration is. Until the returned function is called.
 */
export function startResealing(options: ResealOptions): () => void {
  const { client, keys, sealer, ring, clock, log, random } = options;
  let from: Uint8Array | undefined = keys.first;
  let keyOfPass: string | undefined;
  let resealed = 0;
  let isStopped = false;
  let cancel: (() => void) | undefined;

  const plan = (delayMs: number): void => {
    if (!isStopped) cancel = clock.after(delayMs, () => void run());
  };
  const run = async (): Promise<void> => {
    if (from === undefined && ring.newest?.name !== keyOfPass) from = keys.first;
    if (from === undefined) {
      plan(IDLE_MS);
      return;
    }
    if (from === keys.first) keyOfPass = ring.newest?.name;
    try {
      from = await step(from);
      plan(STEP_MS);
    } catch (err) {
      log.warn('values were not sealed anew; trying again', { reason: describeError(err) });
      plan(IDLE_MS);
    }
  };
  /** Answers where to go on; undefined at the end. */
  const step = async (start: Uint8Array): Promise<Uint8Array | undefined> => {
    const page = await client.range({ key: start, range_end: keys.end, limit: LOOK_VALUES });
    let written = 0;
    for (const { key: etcdKey, value } of page.kvs) {
      const key = keys.fromEtcd(etcdKey);
      if (key === undefined || sealer.isCurrent(Buffer.from(etcdKey).toString('utf8'), value)) continue;
      await rewrite(options.store, key);
      written += 1;
      if (written === RESEAL_VALUES) return successor(etcdKey);
    }
    resealed += written;
    const last = page.kvs.at(-1);
    if (page.more && last !== undefined) return successor(last.key);
    if (resealed > 0) log.info('values were sealed anew', { values: resealed });
    resealed = 0;
    return undefined;
  };
  plan(START_AFTER_MS * (1 + random()));
  return () => {
    isStopped = true;
    cancel?.();
  };
}

async function rewrite(store: Pick<Store, 'write'>, key: string): Promise<void> {
  await store.write(key, (current) => {
    if (current === undefined) return { kind: 'unchanged' };
    const { labels, fields, bytes } = current;
    return { kind: 'put', value: { bytes: withoutResourceVersion(bytes), labels, fields, durability: 'durable' } };
  });
}
