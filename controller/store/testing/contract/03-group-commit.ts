import { expect, it } from 'vitest';
import { putPod } from '../sample-values.ts';
import type { ContractContext } from './contract-context.ts';

/** Sentence 3 of the store's contract. */
export function describeGroupCommit(contract: ContractContext): void {
  it('3: writes that arrive while a commit is in flight go into the next transaction', async () => {
    contract.log.stall();
    const writes = [putPod(contract.store, 'first')];
    await contract.clock.advance(0);
    for (let i = 0; i < 10; i++) writes.push(putPod(contract.store, `p${i}`));
    contract.log.release();
    await Promise.all(writes);
    expect(contract.log.writeBatches.map((batch) => batch.writes.length)).toEqual([1, 10]);
  });
}
