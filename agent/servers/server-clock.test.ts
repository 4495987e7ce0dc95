import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { watchServerClock } from './server-clock.ts';

it('tells of jumps of the clock of the server, and of none of our own', async () => {
  const [clock, server] = [new FakeClock(), new FakeClock()];
  let jumps = 0;
  const answer = async () => ({
    status: 200,
    headers: { date: new Date(server.now()).toUTCString() },
    body: (async function* () {})(),
  });
  const transport = watchServerClock({ request: answer, close: () => {} }, clock, () => jumps++);
  const pass = async (ms: number) => {
    await Promise.all([clock.advance(ms), server.advance(ms)]);
    await transport.request({ method: 'GET', path: '/' });
  };
  for (let i = 0; i < 10; i++) await pass(60_000);
  clock.jump(86_400_000);
  await pass(60_000);
  expect(jumps).toBe(0);
  server.jump(86_400_000);
  await pass(60_000);
  expect(jumps).toBe(1);
  await pass(60_000);
  expect(jumps).toBe(1);
  server.jump(-365 * 86_400_000);
  await pass(60_000);
  expect(jumps).toBe(2);
});
