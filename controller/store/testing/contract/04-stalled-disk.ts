import { describe, expect, it } from 'vitest';
import { isTooManyRequests } from '#api/object/api-error.ts';
import { leaseKey, nameOf, podKey, putLease, putPod, recordEvents, sampleValue, specOf } from '../sample-values.ts';
import { type ContractContext, PATIENCE, PODS, QUEUE_LIMIT } from './contract-context.ts';

/** Sentence 4 of the store's contract. */
export function describeStalledDisk(contract: ContractContext): void {
  describe('4: the disk stalls for 30 s', () => {
    it.runIf(contract.backend === 'shared')(
      'reads and watches go on; heartbeats are writes like all others',
      async () => {
        const { revision } = await putPod(contract.store, 'a');
        contract.log.stall();
        const write = putLease(contract.store, 'node', 1, 'volatile');
        await contract.clock.advance(30_000);
        expect(nameOf(contract.store.snapshot().get(podKey('a')))).toBe('a');
        expect(recordEvents(contract.store, PODS, { fromRevision: revision - 1 }).map((e) => e.revision)).toEqual([
          revision,
        ]);
        contract.log.release();
        expect((await write).changed).toBe(true);
      },
    );

    it.runIf(contract.backend === 'alone')('reads, watches and heartbeats go on', async () => {
      await putPod(contract.store, 'a');
      await putLease(contract.store, 'node', 0, 'durable');
      await putLease(contract.store, 'node', 1, 'volatile');
      const events = recordEvents(contract.store, '/registry/');
      contract.log.stall();
      const write = putPod(contract.store, 'b');
      for (let second = 0; second < 30; second++) {
        await contract.clock.advance(1000);
        await putLease(contract.store, 'node', second + 2, 'volatile');
      }
      expect(specOf(contract.store.snapshot().get(leaseKey('node')))).toEqual({ renewTime: 31 });
      expect(nameOf(contract.store.snapshot().get(podKey('a')))).toBe('a');
      expect(events).toHaveLength(30);
      contract.log.release();
      const { revision } = await write;
      expect(events.map((event) => event.revision)).toEqual(events.map((e) => e.revision).sort((a, b) => a - b));
      expect(events.at(-1)?.revision).toBe(revision);
    });

    it('queues writes up to the bound, then answers 429 with Retry-After', async () => {
      contract.log.stall();
      const writes = Array.from({ length: QUEUE_LIMIT + 5 }, (_, i) => putPod(contract.store, `p${i}`));
      const refused = await Promise.allSettled(writes.slice(QUEUE_LIMIT));
      for (const outcome of refused) {
        const reason = outcome.status === 'rejected' ? outcome.reason : undefined;
        expect(isTooManyRequests(reason)).toBe(true);
        expect(reason).toMatchObject({ details: { retryAfterSeconds: 1 } });
      }
      contract.log.release();
      await Promise.all(writes.slice(0, QUEUE_LIMIT));
      expect(contract.store.snapshot().count(PODS)).toBe(QUEUE_LIMIT);
      await putPod(contract.store, 'later');
    });

    it('answers 504 at the deadline of a write whose fate is unknown', async () => {
      contract.log.stall();
      const deadline = new AbortController();
      const write = contract.store.write(podKey('a'), () => ({ kind: 'put', value: sampleValue('Pod', 'a') }), {
        signal: deadline.signal,
      });
      deadline.abort();
      await expect(write).rejects.toMatchObject({ code: 504, reason: 'Timeout' });
      contract.log.release();
      await putPod(contract.store, 'b');
      // Transactions of different keys may overtake each other.
      await expect.poll(() => nameOf(contract.store.snapshot().get(podKey('a'))), PATIENCE).toBe('a');
    });
  });
}
