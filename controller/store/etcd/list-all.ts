import type { StoredObject } from '../store.ts';
import type { EtcdClient } from './etcd-client.ts';
import type { EtcdValues } from './etcd-values.ts';
import { type KeySpace, successor } from './key-space.ts';
import type { RangeResponse } from './wire-protocol.ts';

/** A page is one message, at both ends in memory at once: it should be about this large, whatever the objects are. */
const PAGE_BYTES = 4 * 2 ** 20;
const FIRST_PAGE = 100;
const MAX_PAGE = 10_000;
/** Objects may be up to 1.5 MiB: so few fit at least. */
const MIN_PAGE = 16;

const PERSIST_MS = 10_000;

export interface Listing {
  /** Of etcd, at which all that follows was so. */
  readonly revision: number;
  /** In the order of the store's keys. */
  readonly objects: readonly StoredObject[];
  /** By key: why its value is no object. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** 0: never written. */
  readonly fenceRevision: number;
}

export interface ListAllOptions {
  readonly client: EtcdClient;
  readonly keys: KeySpace;
  readonly values: EtcdValues;
  /** The state then; absent: the newest. Rejects with the fault `compacted` where that is gone. */
  readonly revision?: number;
}

/** Everything below the prefix at one revision, page by page. */
export async function listAll({ client, keys, values, revision = 0 }: ListAllOptions): Promise<Listing> {
  const objects: StoredObject[] = [];
  const unreadable = new Map<string, string>();
  let fenceRevision = 0;
  let at = revision;
  let from = keys.first;
  let limit = FIRST_PAGE;
  for (;;) {
    const request = { key: from, range_end: keys.end, limit, revision: at };
    const page: RangeResponse = await client.persist(() => client.range(request), { forMs: PERSIST_MS });
    if (at === 0) at = Number(page.header.revision);
    for (const kv of page.kvs) {
      const key = keys.fromEtcd(kv.key);
      if (key === undefined) fenceRevision = Number(kv.mod_revision);
      else {
        try {
          objects.push(values.read(key, kv));
        } catch (err) {
          unreadable.set(key, (err as Error).message);
        }
      }
    }
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) break;
    from = successor(last.key);
    limit = fittingLimit(page);
  }
  // etcd sorts by bytes, the store by UTF-16 units; they differ only beyond the basic plane.
  objects.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { revision: at, objects, unreadable, fenceRevision };
}

/** Of the next page, by the size of what came. */
export function fittingLimit({ kvs }: RangeResponse): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  const fitting = Math.floor(PAGE_BYTES / Math.max(bytes / kvs.length, 1));
  return Math.min(Math.max(fitting, MIN_PAGE), MAX_PAGE);
}
