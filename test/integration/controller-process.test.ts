import { expect, it } from 'vitest';
import { startControllerProcess } from '../kit/controller-process.ts';

it('a controller that dies at once is not waited for, and its last words are told', async () => {
  const startedMs = performance.now();
  await expect(startControllerProcess({ fromSource: true, flags: ['--no-such-flag'] })).rejects.toThrow(
    /the controller ended \(exit code \d+\): .*no-such-flag/s,
  );
  expect(performance.now() - startedMs).toBeLessThan(15_000);
});
