import { describe, expect, it } from 'vitest';
import { podKey, putPod, recordEvents, sampleValue, specOf } from '../sample-values.ts';
import { type ContractContext, PODS } from './contract-context.ts';

/** Sentence 2 of the store's contract. */
export function describePendingHead(contract: ContractContext): void {
  const isAlone = contract.backend === 'alone';
  describe('2: decisions run against the newest state, readers see what is durable', () => {
    const when = isAlone ? 'at once' : 'when it is visible (another server may have been faster)';
    it(`shows a write to the next decision ${when}, and to readers once it is durable`, async () => {
      const events = recordEvents(contract.store, PODS);
      contract.log.stall();
      const first = putPod(contract.store, 'a', { n: 1 });
      const seen: unknown[] = [];
      const second = contract.store.write(podKey('a'), (current) => {
        seen.push(specOf(current));
        return { kind: 'put', value: sampleValue('Pod', 'a', { spec: { n: 2 } }) };
      });
      await contract.clock.advance(0);
      expect(seen).toEqual(isAlone ? [{ n: 1 }] : []);
      expect([[...contract.store.snapshot().range(PODS)], events]).toEqual([[], []]);
      contract.log.release();
      const [one, two] = await Promise.all([first, second]);
      expect(seen).toEqual([{ n: 1 }]);
      expect(two.revision).toBeGreaterThan(one.revision);
      expect(specOf(contract.store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
      expect(events.map((event) => event.revision)).toEqual([one.revision, two.revision]);
    });

    it('delivers a refusal once the write that it lost to is durable', async () => {
      contract.log.stall();
      const winner = putPod(contract.store, 'a');
      const order: string[] = [];
      const loser = contract.store.write(podKey('a'), () => {
        throw new Error('already exists');
      });
      const ends = [winner.then(() => order.push('winner')), loser.catch(() => order.push('loser'))];
      await contract.clock.advance(0);
      expect(order).toEqual([]);
      contract.log.release();
      await Promise.all(ends);
      expect(order).toEqual(['winner', 'loser']);
    });

    it('fails the writes of a failed commit, and decides again what was decided on top of them', async () => {
      await putPod(contract.store, 'a', { n: 0 });
      contract.log.stall();
      const failing = putPod(contract.store, 'a', { n: 1 });
      await contract.clock.advance(0);
      const seen: unknown[] = [];
      const dependent = contract.store.write(podKey('a'), (current) => {
        seen.push(specOf(current));
        return { kind: 'put', value: sampleValue('Pod', 'a', { spec: { n: 2 } }) };
      });
      const refused = contract.store.write(podKey('a'), (current) => {
        seen.push(specOf(current));
        throw new Error('refused');
      });
      const independent = putPod(contract.store, 'b');
      const outcomes = Promise.allSettled([failing, dependent, refused, independent]);
      contract.log.failNext('disk full');
      contract.log.release();
      expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
      if (isAlone) {
        // Two were decided on the write that failed, and again after it.
        expect(seen).toEqual([{ n: 1 }, { n: 2 }, { n: 0 }, { n: 2 }]);
      } else {
        expect(seen.slice(0, 2)).toEqual([{ n: 0 }, { n: 2 }]);
        // A refusal is decided once more when anything, here pod b, became visible meanwhile: it may have looked at that too.
        expect([[], [{ n: 2 }]]).toContainEqual(seen.slice(2));
      }
      await expect(failing).rejects.toMatchObject({ code: 500, message: expect.stringContaining('disk full') });
      expect(specOf(contract.store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
    });
  });
}
