import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../store.ts';
import { eventKey, nameOf, podKey, putPod, recordEvents, remove, sampleValue } from '../sample-values.ts';
import { type ContractContext, LEASES, PATIENCE, PODS } from './contract-context.ts';

/** Sentence 8 of the store's contract. */
export function describeIndexes(contract: ContractContext): void {
  describe('8: indexes', () => {
    it('answer declared fields, and say so when a field has none', async () => {
      await putPod(contract.store, 'a', { nodeName: 'n1' });
      await putPod(contract.store, 'b');
      await putPod(contract.store, 'b', { nodeName: 'n2' });
      const snapshot = contract.store.snapshot();
      const on = (node: string) => [...snapshot.byField(PODS, 'spec.nodeName', node)!].map(nameOf);
      expect([on('n1'), on('n2'), on(''), on('n')]).toEqual([['a'], ['b'], [], []]);
      expect([...snapshot.byField('/registry/pods/other/', 'spec.nodeName', 'n1')!]).toEqual([]);
      expect(snapshot.byField(PODS, 'status.phase', 'Running')).toBeUndefined();
      expect(snapshot.byField(LEASES, 'spec.nodeName', 'n1')).toBeUndefined();
    });

    it('answer declared labels, and leave objects without them out', async () => {
      const put = (pod: string, labels: Record<string, string>) => {
        const value = sampleValue('Pod', pod, { metadata: { name: pod, namespace: 'default', labels } });
        return contract.store.write(podKey(pod), () => ({ kind: 'put', value }));
      };
      await put('a', { app: 'web' });
      await put('b', { app: 'web' });
      await put('c', { app: 'db' });
      await put('d', {});
      const before = contract.store.snapshot();
      await put('b', { app: 'db' });
      await put('a', {});
      await contract.store.write(podKey('c'), remove);
      const withApp = (snapshot: Snapshot, app: string) => [...snapshot.byLabel(PODS, 'app', app)!].map(nameOf);
      expect([withApp(before, 'web'), withApp(before, 'db')]).toEqual([['a', 'b'], ['c']]);
      expect([withApp(contract.store.snapshot(), 'web'), withApp(contract.store.snapshot(), 'db')]).toEqual([
        [],
        ['b'],
      ]);
      expect(contract.store.snapshot().byLabel(PODS, 'tier', 'x')).toBeUndefined();
    });

    it('let a narrow watch see objects enter, change and leave, live and from history', async () => {
      const from = contract.store.revision;
      const live = recordEvents(contract.store, PODS, { nodeName: 'n1' });
      await putPod(contract.store, 'a', { nodeName: 'n1' });
      await putPod(contract.store, 'b', { nodeName: 'n2' });
      await putPod(contract.store, 'b', { nodeName: 'n1' });
      await putPod(contract.store, 'a', { nodeName: 'n2' });
      await putPod(contract.store, 'a', { nodeName: 'n2', n: 2 });
      await contract.store.write(podKey('b'), remove);
      const seen = live.map((event) => [event.type, nameOf(event.object)]);
      expect(seen).toEqual([
        ['ADDED', 'a'],
        ['MODIFIED', 'b'],
        ['MODIFIED', 'a'],
        ['DELETED', 'b'],
      ]);
      expect(recordEvents(contract.store, PODS, { fromRevision: from, nodeName: 'n1' })).toEqual(live);
    });

    it('keep the order for a callback that writes or starts a watch', async () => {
      await contract.store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
      let nested: unknown[] = [];
      const early: string[] = [];
      contract.store.watch({
        prefix: '/registry/',
        fromRevision: contract.store.revision,
        onClose() {},
        onEvent: (event) => {
          if (!event.object.key.startsWith(PODS)) return;
          void contract.store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e', { n: 1 }) }));
          nested = recordEvents(contract.store, '/registry/', { fromRevision: event.revision });
        },
      });
      contract.store.watch({
        prefix: '/registry/',
        fromRevision: contract.store.revision,
        onClose() {},
        onEvent: (event) => early.push(event.object.key),
      });
      await putPod(contract.store, 'a');
      await expect.poll(() => early, PATIENCE).toEqual([podKey('a'), eventKey('e')]);
      expect(nested).toHaveLength(1);
    });
  });
}
