import { keyOf, type Stored } from '../object/kube-object.ts';
import type { Lister } from './informer.ts';

/**
 * What the informers of one thread have in common. Components with identities of their own (scheduler, controllers) watch the same kinds apart
 * from each other; a revision that one of them keeps already is kept by the others as the same object.
 */
export class ObjectSharing {
  /** By the kind that they look at, whatever part of it. */
  readonly #listers = new Map<string, Set<Lister<Stored<object>>>>();

  join(kind: string, lister: Lister<Stored<object>>): void {
    const known = this.#listers.get(kind);
    if (known === undefined) this.#listers.set(kind, new Set([lister]));
    else known.add(lister);
  }

  leave(kind: string, lister: Lister<Stored<object>>): void {
    this.#listers.get(kind)?.delete(lister);
  }

  /** The same revision of `object` in another's cache. */
  find<T extends Stored<object>>(kind: string, object: T): T | undefined {
    const key = keyOf(object);
    const { uid, resourceVersion } = object.metadata;
    for (const lister of this.#listers.get(kind) ?? []) {
      const kept = lister.byKey(key);
      // All listers of a kind hold the same type.
      if (kept?.metadata.resourceVersion === resourceVersion && kept.metadata.uid === uid) return kept as T;
    }
    return undefined;
  }
}
