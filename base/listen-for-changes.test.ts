import { expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';
import { listenForChanges } from './listen-for-changes.ts';
import { silentLogger } from './logger.ts';

it('looks once for a crowd of lines, when the program began to listen, and when it ended', async () => {
  const clock = new FakeClock();
  const programs: { readonly tell: (line: string) => void; readonly end: (err?: Error) => void }[] = [];
  const listen = (tell: (line: string) => void) =>
    new Promise<void>((resolve, reject) => {
      programs.push({ tell, end: (err) => (err === undefined ? resolve() : reject(err)) });
    });
  let looks = 0;
  const looksAfter = async (ms: number) => {
    looks = 0;
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(ms);
    return looks;
  };
  const stopping = new AbortController();
  const listening = listenForChanges(
    {
      ...{ clock, log: silentLogger, listen, gatherMs: 100 },
      isChange: (line) => line !== 'noise',
      onChange: () => looks++,
    },
    stopping.signal,
  );
  // What changed before it listened.
  expect(await looksAfter(1_000)).toBe(1);
  programs[0]?.tell('noise');
  expect(await looksAfter(1_000)).toBe(0);
  for (let line = 0; line < 20; line++) programs[0]?.tell('change');
  expect(await looksAfter(1_000)).toBe(1);
  programs[0]?.end();
  // At its end, and once more when its successor listens.
  expect(await looksAfter(2_000)).toBe(2);
  programs[1]?.end(new Error('cannot run'));
  expect(await looksAfter(2_000)).toBe(2);
  expect(programs).toHaveLength(3);
  stopping.abort();
  programs[2]?.end();
  await listening;
  expect(await looksAfter(5_000)).toBe(0);
});

it('does not start again and again, as fast as it can, what ends at once', async () => {
  const clock = new FakeClock();
  const stopping = new AbortController();
  let starts = 0;
  const listen = async () => {
    starts += 1;
    throw new Error('Protocol not supported');
  };
  const options = { clock, log: silentLogger, listen, gatherMs: 100, isChange: () => true, onChange() {} };
  const listening = listenForChanges(options, stopping.signal);
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds * 10; i++) {
      await clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await pass(3);
  expect(starts).toBeGreaterThan(3);
  await pass(300);
  starts = 0;
  await pass(600);
  expect(starts).toBeGreaterThan(5);
  expect(starts).toBeLessThan(15);
  stopping.abort();
  await listening;
});
