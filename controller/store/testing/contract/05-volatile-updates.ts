import { describe, expect, it } from 'vitest';
import { isGone } from '#api/object/api-error.ts';
import { eventKey, leaseKey, putLease, putPod, recordEvents, remove, sampleValue, specOf } from '../sample-values.ts';
import { type ContractContext, EVENT_TTL_MS, EVENTS, LEASES, PODS } from './contract-context.ts';

/** Sentence 5 of the store's contract. */
export function describeVolatileUpdates(contract: ContractContext): void {
  describe.runIf(contract.backend === 'shared')('5: nothing is volatile where other servers must see it', () => {
    it('keeps heartbeats and Events over a restart', async () => {
      await putLease(contract.store, 'node', 0, 'durable');
      await putLease(contract.store, 'node', 1, 'volatile');
      const { revision } = await contract.store.write(eventKey('e'), () => ({
        kind: 'put',
        value: sampleValue('Event', 'e'),
      }));
      await contract.restart('killed');
      expect(specOf(contract.store.snapshot().get(leaseKey('node')))).toEqual({ renewTime: 1 });
      expect(contract.store.snapshot().get(eventKey('e'))?.revision).toBe(revision);
    });
  });

  describe.runIf(contract.backend === 'alone')('5: volatile updates stay in memory', () => {
    it('commits the first one, which marks the object, and none after it', async () => {
      await putLease(contract.store, 'node', 0, 'durable');
      await putLease(contract.store, 'node', 1, 'volatile');
      const commits = contract.log.batches.length;
      const events = recordEvents(contract.store, LEASES);
      for (let i = 2; i < 50; i++) await putLease(contract.store, 'node', i, 'volatile');
      expect(contract.log.batches).toHaveLength(commits);
      expect(events.map((event) => specOf(event.object))).toEqual(
        Array.from({ length: 48 }, (_, i) => ({ renewTime: i + 2 })),
      );
    });

    it('commits none at all where the creation said that they would come', async () => {
      await putLease(contract.store, 'node', 0, 'volatile');
      await putLease(contract.store, 'node', 1, 'volatile');
      await putLease(contract.store, 'node', 2, 'volatile');
      const writes = contract.log.writeBatches.flatMap((batch) => batch.writes);
      expect(writes).toMatchObject([{ type: 'ADDED', overlaid: true }]);
      expect(specOf(contract.store.snapshot().get(leaseKey('node')))).toEqual({ renewTime: 2 });
    });

    it('makes creations, deletions and other changes durable, whatever the object is', async () => {
      await putLease(contract.store, 'node', 0, 'volatile');
      await putLease(contract.store, 'node', 1, 'durable');
      await putLease(contract.store, 'node', 2, 'volatile');
      await contract.store.write(leaseKey('node'), remove);
      const types = contract.log.writeBatches.flatMap((batch) => batch.writes.map((write) => write.type));
      expect(types).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    });

    it('keeps Events without a commit, and deletes them when their time is over', async () => {
      await contract.store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
      await contract.clock.advance(EVENT_TTL_MS / 2);
      await contract.store.write(eventKey('e'), () => ({
        kind: 'put',
        value: sampleValue('Event', 'e', { count: 2 }),
      }));
      const events = recordEvents(contract.store, EVENTS);
      await contract.clock.advance(EVENT_TTL_MS / 2);
      expect(events).toEqual([]);
      await contract.clock.advance(EVENT_TTL_MS / 2);
      expect(events.map((event) => event.type)).toEqual(['DELETED']);
      expect(contract.log.writeBatches).toEqual([]);
    });

    describe.skipIf(contract.survival === 'process')('over a restart', () => {
      it.each(['closed', 'killed'] as const)('raises revisions beyond volatile ones when %s', async (how) => {
        await putLease(contract.store, 'node', 0, 'durable');
        await putLease(contract.store, 'node', 1, 'volatile');
        const shown = (await putLease(contract.store, 'node', 2, 'volatile')).revision;
        const durable = recordEvents(contract.store, LEASES, { fromRevision: 1 })[1]!;
        await contract.restart(how);
        const lease = contract.store.snapshot().get(leaseKey('node'));
        expect(specOf(lease)).toEqual(specOf(durable.object));
        expect(lease!.revision).toBeGreaterThan(shown);
        const resumed = recordEvents(contract.store, LEASES, { fromRevision: shown });
        expect(resumed.map((event) => [event.type, event.object])).toEqual([['MODIFIED', lease]]);
      });

      it('forgets Events, and tells their watchers with one 410', async () => {
        await contract.store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
        const { revision } = await putPod(contract.store, 'a');
        await contract.restart('killed');
        expect(contract.store.snapshot().count(EVENTS)).toBe(0);
        let refusal: unknown;
        try {
          recordEvents(contract.store, EVENTS, { fromRevision: revision });
        } catch (err) {
          refusal = err;
        }
        expect(isGone(refusal)).toBe(true);
        expect(recordEvents(contract.store, EVENTS)).toEqual([]);
        expect(recordEvents(contract.store, PODS, { fromRevision: revision })).toEqual([]);
      });
    });
  });
}
