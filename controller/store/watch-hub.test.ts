import { describe, expect, it } from 'vitest';
import type { StoredObject, StoreEvent } from './store.ts';
import { WatchHub } from './watch-hub.ts';

/** An object that counts how often its fields are looked at. */
function makeObject(key: string, nodeName: string, reads: { count: number }): StoredObject {
  return {
    key,
    revision: 1,
    bytes: new Uint8Array(),
    labels: {},
    get fields() {
      reads.count += 1;
      return { 'spec.nodeName': nodeName };
    },
    object: () => ({}),
  };
}

function makeEvent(key: string, nodeName: string, reads = { count: 0 }): StoreEvent {
  return { type: 'ADDED', revision: 1, object: makeObject(key, nodeName, reads), previous: undefined };
}

describe('WatchHub', () => {
  it('looks at an event as often for a thousand nodes that watch their pods as for one', () => {
    const readsWith = (watches: number) => {
      const hub = new WatchHub();
      const seen: string[] = [];
      for (let i = 0; i < watches; i++) {
        const value = `node-${i}`;
        hub.add({
          prefix: '/registry/pods/',
          fromRevision: 0,
          field: { name: 'spec.nodeName', value },
          onEvent: () => seen.push(value),
          onClose() {},
        });
      }
      const reads = { count: 0 };
      hub.dispatch(makeEvent('/registry/pods/default/a', 'node-0', reads));
      expect(seen).toEqual(['node-0']);
      return reads.count;
    };
    expect(readsWith(1000)).toBe(readsWith(1));
  });

  it('finds watches of everything, a kind, a namespace, one object and any other prefix', () => {
    const hub = new WatchHub();
    const seen: string[] = [];
    const prefixes = [
      '/registry/',
      '/registry/pods/',
      '/registry/pods/a/',
      '/registry/pods/a/web',
      '/registry/pods/a/w',
    ];
    const others = ['/registry/pods/b/', '/registry/services/', '/registry/pods/a/x'];
    const watches = [...prefixes, ...others].map((prefix) =>
      hub.add({ prefix, fromRevision: 0, onEvent: () => seen.push(prefix), onClose() {} }),
    );
    hub.dispatch(makeEvent('/registry/pods/a/web', ''));
    expect(seen.sort()).toEqual(prefixes.sort());
    for (const watch of watches) watch.stop();
    expect(hub.size).toBe(0);
    hub.dispatch({ ...makeEvent('/registry/pods/a/web', ''), revision: 2 });
    expect(seen).toHaveLength(prefixes.length);
  });
});
