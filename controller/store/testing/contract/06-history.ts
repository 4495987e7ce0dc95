import { describe, expect, it } from 'vitest';
import { nameOf, podKey, putPod, recordEvents, remove } from '../sample-values.ts';
import { type ContractContext, HISTORY, PODS } from './contract-context.ts';

/** Sentence 6 of the store's contract. */
export function describeHistory(contract: ContractContext): void {
  describe('6: history', () => {
    const fill = async (count: number, prefix = 'p') => {
      for (let i = 0; i < count; i++) await putPod(contract.store, `${prefix}${i % 7}`, { n: i });
    };

    it('lets a watch resume for ten minutes, without loss or repetition', async () => {
      const from = (await putPod(contract.store, 'first')).revision;
      const live = recordEvents(contract.store, PODS);
      await fill(300);
      await contract.clock.advance(9 * 60_000);
      await fill(1, 'q');
      const resumed = recordEvents(contract.store, PODS, { fromRevision: from });
      expect(resumed).toEqual(live);
      await fill(3);
      expect(resumed).toEqual(live);
      expect(live).toHaveLength(304);
    });

    it('answers 410 outside it, at once and before any event', async () => {
      const from = (await putPod(contract.store, 'first')).revision;
      await fill(300);
      await contract.clock.advance(11 * 60_000);
      await fill(1);
      expect(contract.store.compactedRevision).toBeGreaterThan(from);
      expect(() => recordEvents(contract.store, PODS, { fromRevision: from })).toThrow(/too old resource version/);
      expect(recordEvents(contract.store, PODS, { fromRevision: contract.store.compactedRevision })).toHaveLength(
        HISTORY.minEvents!,
      );
    });

    it('makes a read from the future wait, then fail with "Too large resource version"', async () => {
      const { revision } = await putPod(contract.store, 'a');
      let reached = false;
      const waiting = contract.store.waitFor(revision + 1, 3000).then(() => {
        reached = true;
      });
      await contract.clock.advance(1000);
      expect(reached).toBe(false);
      await putPod(contract.store, 'b');
      await waiting;
      const failed = expect(contract.store.waitFor(contract.store.revision + 1, 3000)).rejects.toMatchObject({
        code: 504,
        message: expect.stringContaining('Too large resource version'),
        details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
      });
      await contract.clock.advance(3000);
      await failed;
    });

    describe.skipIf(contract.survival === 'process')('over a restart', () => {
      it('resumes watches from the durable history (sentence 6)', async () => {
        const from = (await putPod(contract.store, 'first')).revision;
        for (let i = 0; i < 30; i++) await putPod(contract.store, `p${i % 3}`, { n: i });
        await contract.store.write(podKey('p1'), remove);
        const at = contract.store.revision;
        await putPod(contract.store, 'p1', { again: true });
        const plain = (events: ReturnType<typeof recordEvents>) =>
          events.map((e) => [e.type, e.revision, e.object.object(), e.object.labels, e.previous?.object()]);
        const before = plain(recordEvents(contract.store, PODS, { fromRevision: from }));
        await contract.restart('killed');
        expect(plain(recordEvents(contract.store, PODS, { fromRevision: from }))).toEqual(before);
        expect([...contract.store.snapshotAt(at).range(PODS)].map(nameOf)).toEqual(['first', 'p0', 'p2']);
      });
    });
  });
}
