import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import { classifySample, podKey, specOf } from '#controller/store/testing/sample-values.ts';

type Build = 'honest' | 'early';

/** Runs the writer, kills it after so many acknowledgements, and answers the newest acknowledged counter of each pod. */
async function writeUntilKilled(dir: string, build: Build, acknowledgements: number): Promise<Map<string, number>> {
  const script = join(import.meta.dirname, 'store-kill-child.ts');
  const child = spawn(process.execPath, [script, dir, build], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const acknowledged = new Map<string, number>();
  let count = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, counter] = line.split(' ');
    // The last line may be torn.
    if (name !== undefined && counter?.length === 13) acknowledged.set(name, Number(counter));
    count += 1;
    if (count === acknowledgements) child.kill('SIGKILL');
  }
  const [, signal] = await exited;
  expect(signal).toBe('SIGKILL');
  return acknowledged;
}

/** Names of pods whose stored counter is older than an acknowledged one. */
async function findLost(dir: string, acknowledged: ReadonlyMap<string, number>): Promise<string[]> {
  const alarms: unknown[] = [];
  const store = await openSqliteStore({
    dir,
    clock: systemClock,
    log: { ...silentLogger, warn: (...told) => alarms.push(told), error: (...told) => alarms.push(told) },
    classify: classifySample,
  });
  try {
    expect(alarms).toEqual([]);
    const snapshot = store.snapshot();
    return [...acknowledged]
      .filter(([name, counter]) => {
        const spec = specOf(snapshot.get(podKey(name))) as { counter: number } | undefined;
        return spec === undefined || spec.counter < counter;
      })
      .map(([name]) => name);
  } finally {
    await store.close();
  }
}

describe('kill -9 during writes', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-kill-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('loses no acknowledged write', async () => {
    for (const acknowledgements of [1, 50, 400, 1500, 37]) {
      const acknowledged = await writeUntilKilled(dir, 'honest', acknowledgements);
      expect(await findLost(dir, acknowledged)).toEqual([]);
    }
  });

  it('is caught by the same check when a build acknowledges before the commit', async () => {
    const acknowledged = await writeUntilKilled(dir, 'early', 2000);
    expect(await findLost(dir, acknowledged)).not.toEqual([]);
  });
});
