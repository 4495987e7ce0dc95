import { expect, it } from 'vitest';
import { podKey, sampleValue } from '../sample-values.ts';
import type { ContractContext } from './contract-context.ts';

/** Sentence 11 of the store's contract. */
export function describeObjectSize(contract: ContractContext): void {
  it('11: refuses an object beyond 1.5 MiB with 413', async () => {
    const big = (bytes: number) => sampleValue('Pod', 'big', { spec: { filler: 'x'.repeat(bytes) } });
    const put = (bytes: number) => contract.store.write(podKey('big'), () => ({ kind: 'put', value: big(bytes) }));
    await expect(put(1.5 * 2 ** 20)).rejects.toMatchObject({ code: 413, reason: 'RequestEntityTooLarge' });
    expect((await put(1.4 * 2 ** 20)).changed).toBe(true);
  });
}
