import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { SeededStore } from './apiserver/testing/seeded-store.ts';
import { bootstrap } from './bootstrap.ts';

function start(failures: number) {
  const [seeded, clock, stop] = [new SeededStore(), new FakeClock(), new AbortController()];
  const { store } = seeded;
  const problems: (string | undefined)[] = [];
  let runs = 0;
  const ensure = async () => {
    if (runs++ < failures) throw new Error('refused');
  };
  const run = () =>
    bootstrap({ ensure, store, clock, log: silentLogger, signal: stop.signal, onProblem: (one) => problems.push(one) });
  const addWebhook = () =>
    seeded.put('/registry/validatingwebhookconfigurations/x', { metadata: { name: 'x' }, webhooks: [] });
  return { run, addWebhook, clock, problems, stop, runs: () => runs };
}

describe('bootstrap', () => {
  it('gives up where nobody else can have refused it', async () => {
    const { run, problems } = start(1);
    await expect(run()).rejects.toThrow('refused');
    expect(problems).toEqual([]);
  });

  it("goes on where somebody's webhook may have refused it, until it is done", async () => {
    const { run, addWebhook, clock, problems, runs } = start(2);
    await addWebhook();
    await run();
    const problem = 'the system objects could not be written: refused';
    expect(problems).toEqual([problem]);
    await clock.advance(5_000);
    await clock.advance(5_000);
    expect(problems).toEqual([problem, problem, undefined]);
    expect(runs()).toBe(3);
  });

  it('ends with the controller', async () => {
    const { run, addWebhook, clock, stop, runs } = start(9);
    await addWebhook();
    await run();
    stop.abort();
    await clock.advance(60_000);
    expect(runs()).toBe(1);
  });
});
