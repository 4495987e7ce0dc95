import { expect, it } from 'vitest';
import { putPod } from '../sample-values.ts';
import { type ContractContext, PODS } from './contract-context.ts';

/** What follows from all sentences: nothing goes on after the end. */
export function describeClosing(contract: ContractContext): void {
  it('refuses writes and closes watches once it is closed', async () => {
    const reasons: string[] = [];
    contract.store.watch({
      prefix: PODS,
      fromRevision: contract.store.revision,
      onEvent() {},
      onClose: (why) => reasons.push(why),
    });
    const last = putPod(contract.store, 'a');
    await contract.store.close();
    expect((await last).changed).toBe(true);
    expect(reasons).toEqual(['closed']);
    await expect(putPod(contract.store, 'b')).rejects.toMatchObject({ code: 503 });
  });
}
