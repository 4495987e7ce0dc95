import { expect, it } from 'vitest';
import { fulfilAll } from './fulfil-all.ts';

it('what is promised beside a promise that cannot be kept is given up, and at its end before the pod tries again', async () => {
  const ended: string[] = [];
  const slow = {
    fulfil: (signal: AbortSignal) =>
      new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () =>
          setImmediate(() => {
            ended.push(`slow: ${(signal.reason as Error).message}`);
            reject(signal.reason);
          }),
        );
      }),
  };
  const broken = { fulfil: () => Promise.reject(new Error('no device')) };
  await expect(fulfilAll([slow, broken], new AbortController())).rejects.toThrow('no device');
  expect(ended).toEqual(['slow: no device']);
});
