import { describe, expect, it } from 'vitest';
import type { WriteResult } from '../../store.ts';
import { nameOf, podKey, putPod, remove } from '../sample-values.ts';
import { type ContractContext, PODS } from './contract-context.ts';

/** Sentence 1 of the store's contract. */
export function describeRevisions(contract: ContractContext): void {
  describe('1: one revision per object write', () => {
    it('gives every write of any object its own, growing revision', async () => {
      const results: WriteResult[] = [];
      for (const pod of ['a', 'b', 'a']) results.push(await putPod(contract.store, pod, { n: results.length }));
      results.push(await contract.store.write(podKey('a'), remove));
      const revisions = results.map((result) => result.revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      expect(contract.store.revision).toBe(revisions.at(-1));
      expect(results[3]!.object?.revision).toBe(revisions[3]);
    });

    it('spends none on a write that changes nothing', async () => {
      const { revision } = await putPod(contract.store, 'a');
      const same = await contract.store.write(podKey('a'), () => ({ kind: 'unchanged' }));
      expect(same).toMatchObject({ revision, changed: false });
      expect(await contract.store.write(podKey('none'), remove)).toMatchObject({ object: undefined, changed: false });
      expect(contract.store.revision).toBe(revision);
    });

    it('puts the revision into the encoded object', async () => {
      const { object, revision } = await putPod(contract.store, 'a');
      expect(object?.object()).toMatchObject({ metadata: { resourceVersion: String(revision), name: 'a' } });
      expect(object?.bytes.byteLength).toBe(object?.bytes.buffer.byteLength);
    });

    describe.skipIf(contract.survival === 'process')('over a restart', () => {
      it.each(['closed', 'killed'] as const)('keeps every acknowledged write when %s (sentence 1)', async (how) => {
        await putPod(contract.store, 'a', { n: 1 });
        const kept = (await putPod(contract.store, 'b', { n: 2 })).revision;
        const gone = putPod(contract.store, 'c').then(() => contract.store.write(podKey('c'), remove));
        const shown = (await gone).revision;
        await contract.restart(how);
        expect([...contract.store.snapshot().range(PODS)].map(nameOf)).toEqual(['a', 'b']);
        expect(contract.store.snapshot().get(podKey('b'))?.revision).toBe(kept);
        expect(contract.store.revision).toBeGreaterThanOrEqual(shown);
        expect((await putPod(contract.store, 'd')).revision).toBeGreaterThan(shown);
      });
    });
  });
}
