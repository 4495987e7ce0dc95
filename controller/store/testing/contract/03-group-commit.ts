import { expect, it } from 'vitest';
import { putPod } from '../sample-values.ts';
import type { ContractContext } from './contract-context.ts';

/** Sentence 3 of the store's contract. */
export function describeGroupCommit(contract: ContractContext): void {
  it.runIf(contract.backend === 'alone')(
    '3: writes that arrive while a commit is in flight go into the next transaction',
    async () => {
      contract.log.stall();
      const writes = [putPod(contract.store, 'first')];
      await contract.clock.advance(0);
      for (let i = 0; i < 10; i++) writes.push(putPod(contract.store, `p${i}`));
      contract.log.release();
      await Promise.all(writes);
      expect(contract.log.writeBatches.map((batch) => batch.writes.length)).toEqual([1, 10]);
    },
  );

  it.runIf(contract.backend === 'shared')(
    '3: each object is a transaction of its own, and they fly together',
    async () => {
      contract.log.stall();
      const writes = Array.from({ length: 10 }, (_, i) => putPod(contract.store, `p${i}`));
      await contract.clock.advance(0);
      expect(contract.log.writeBatches.map((batch) => batch.writes.length)).toEqual(Array(10).fill(1));
      contract.log.release();
      await Promise.all(writes);
    },
  );
}
