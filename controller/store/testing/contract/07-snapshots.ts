import { describe, expect, it } from 'vitest';
import { nameOf, podKey, putPod, remove, specOf } from '../sample-values.ts';
import { type ContractContext, PODS } from './contract-context.ts';

/** Sentence 7 of the store's contract. */
export function describeSnapshots(contract: ContractContext): void {
  describe('7: snapshots', () => {
    it('stay as they are while the store goes on', async () => {
      for (const pod of ['a', 'b', 'c', 'd']) await putPod(contract.store, pod, { nodeName: 'n1' });
      const snapshot = contract.store.snapshot();
      const iterator = snapshot.range(PODS)[Symbol.iterator]();
      expect(nameOf(iterator.next().value)).toBe('a');
      await contract.store.write(podKey('b'), remove);
      await putPod(contract.store, 'c', { nodeName: 'n2' });
      await putPod(contract.store, 'bb', { nodeName: 'n1' });
      const rest = [...{ [Symbol.iterator]: () => iterator }].map((object) => [nameOf(object), specOf(object)]);
      expect(rest).toEqual(['b', 'c', 'd'].map((pod) => [pod, { nodeName: 'n1' }]));
      expect([...snapshot.byField(PODS, 'spec.nodeName', 'n1')!].map(nameOf)).toEqual(['a', 'b', 'c', 'd']);
      expect([...contract.store.snapshot().range(PODS)].map(nameOf)).toEqual(['a', 'bb', 'c', 'd']);
    });

    it('of an older revision hold what was then visible, and continue after a key', async () => {
      for (const pod of ['a', 'b', 'c', 'd']) await putPod(contract.store, pod, { nodeName: 'n1' });
      const { revision } = contract.store;
      await contract.store.write(podKey('b'), remove);
      await putPod(contract.store, 'c', { nodeName: 'n2' });
      await putPod(contract.store, 'e');
      const older = contract.store.snapshotAt(revision);
      expect(older.revision).toBe(revision);
      expect([...older.range(PODS, podKey('a'))].map(nameOf)).toEqual(['b', 'c', 'd']);
      expect(older.count(PODS, podKey('a'))).toBe(3);
      expect([...older.byField(PODS, 'spec.nodeName', 'n1')!].map(nameOf)).toEqual(['a', 'b', 'c', 'd']);
      expect(() => contract.store.snapshotAt(contract.store.revision + 1)).toThrow(/Too large resource version/);
    });
  });
}
