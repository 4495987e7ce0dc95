import type { Store, StoredObject, Watcher } from '../../store/store.ts';

export interface MirrorHandlers {
  /** A new state of an object; `previous` is undefined for new ones. */
  onPut(object: StoredObject, previous: StoredObject | undefined): void;
  onDelete(object: StoredObject): void;
  /** Everything known is void: the objects follow again as puts. */
  onReset(): void;
}

/** Name (and namespace, '' where the kind has none) from a store key such as `/registry/roles/<namespace>/<name>`. */
export function namesOfKey(key: string, prefix: string): { readonly namespace: string; readonly name: string } {
  const [first = '', second] = key.slice(prefix.length).split('/');
  return second === undefined ? { namespace: '', name: first } : { namespace: first, name: second };
}

/**
 * Keeps an index in step with all objects under `prefix`: first the current ones, then each change, synchronously as the store publishes
 * it. Starts over when the store can no longer serve the watch. The returned function stops it.
 */
export function mirrorPrefix(store: Store, prefix: string, handlers: MirrorHandlers): () => void {
  let watcher: Watcher | undefined;
  let stopped = false;
  const start = (): void => {
    const snapshot = store.snapshot();
    for (const object of snapshot.range(prefix)) handlers.onPut(object, undefined);
    watcher = store.watch({
      prefix,
      fromRevision: snapshot.revision,
      onEvent: ({ type, object, previous }) => {
        if (type === 'DELETED') handlers.onDelete(object);
        else handlers.onPut(object, previous);
      },
      onClose: (reason) => {
        if (stopped || reason === 'closed') return;
        handlers.onReset();
        start();
      },
    });
  };
  start();
  return () => {
    stopped = true;
    watcher?.stop();
  };
}
