import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { DamageReport } from '#controller/store/integrity/recover.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import { classifySample, podKey, specOf } from '#controller/store/testing/sample-values.ts';
import { startControllerProcess } from '../kit/controller-process.ts';

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

  it.each([
    ['a byte of the WAL flips', (files: Files) => files.flip('state.db-wal', 0.5)],
    ['the WAL loses its end', (files: Files) => files.cut('state.db-wal', 0.7)],
    ['the end of the WAL is zeroed', (files: Files) => files.zero('state.db-wal', 0.6)],
    ['the WAL is gone', (files: Files) => rmSync(files.path('state.db-wal'))],
    ['the mark is gone', (files: Files) => rmSync(files.path('state.mark'))],
    ['the database is gone', (files: Files) => rmSync(files.path('state.db'))],
    ['the database loses its end', (files: Files) => files.cut('state.db', 0.3)],
  ])('and what is then destroyed is named: %s', async (_what, destroy) => {
    // Closed once, so that there is a snapshot.
    await writeUntilKilled(dir, 'honest', 60);
    await findLost(dir, new Map());
    await writeUntilKilled(dir, 'honest', 60);
    destroy(filesIn(dir));
    let reports: readonly DamageReport[] = [];
    const store = await openSqliteStore({
      dir,
      clock: systemClock,
      log: silentLogger,
      classify: classifySample,
      onDamage: (found) => {
        reports = found;
      },
    });
    expect(reports).toHaveLength(1);
    const [report] = reports;
    expect(report!.findings.length).toBeGreaterThan(0);
    expect(store.revision).toBeGreaterThanOrEqual(1e9 + (report!.lostUpTo ?? 0));
    expect(store.snapshot().count('/registry/pods/')).toBeGreaterThan(30);
    expect(() => store.snapshotAt(report!.lostAfter)).toThrow(/too old/);
    await store.close();
  });
});

it('a controller that lost something says so where people look, and is ready all the same', async () => {
  const controller = await startControllerProcess({ fromSource: true });
  try {
    // A snapshot is taken at the end.
    await controller.restart();
    const maps = controller.client.resource<ConfigMap>(resources.configMaps);
    for (let i = 0; i < 20; i++) await maps.create({ metadata: { name: `m${i}`, namespace: 'default' } });
    const { resourceVersion } = await maps.fetchList({ namespace: 'default' });
    await controller.end('SIGKILL');
    const store = join(controller.folder, 'data', 'store');
    rmSync(join(store, 'state.db'));
    await controller.start();
    const raw = (path: string) => controller.client.raw<{ conditions: object[] }>({ method: 'GET', path });
    expect((await raw('/api/v1/componentstatuses/etcd-0')).conditions).toEqual([
      {
        type: 'Healthy',
        status: 'False',
        error: expect.stringMatching(/state\.db is missing.*served is the snapshot of/),
      },
    ]);
    const log = readFileSync(controller.logPath, 'utf8');
    expect(log).toMatch(/state\.db is missing.*"the store has lost data"/);
    const watch = `/api/v1/namespaces/default/configmaps?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`;
    await expect(raw(watch)).rejects.toMatchObject({ code: 410 });
    const aside = readdirSync(store).filter((name) => name.startsWith('damaged-'));
    expect(aside).toHaveLength(1);
    await controller.end();
    rmSync(join(store, aside[0]!), { recursive: true });
    await controller.start();
    expect((await raw('/api/v1/componentstatuses/etcd-0')).conditions).toEqual([
      { type: 'Healthy', status: 'True', message: 'ok' },
    ]);
  } finally {
    await controller.stop();
  }
});

type Files = ReturnType<typeof filesIn>;

/** Ways to destroy files; places are shares of the length. */
function filesIn(dir: string) {
  const path = (name: string) => join(dir, name);
  const edit = (name: string, at: number, change: (bytes: Buffer, offset: number) => Buffer) => {
    const bytes = readFileSync(path(name));
    writeFileSync(path(name), change(bytes, Math.floor(bytes.length * at)));
  };
  return {
    path,
    flip: (name: string, at: number) =>
      edit(name, at, (bytes, offset) => {
        bytes[offset]! ^= 4;
        return bytes;
      }),
    cut: (name: string, at: number) => edit(name, at, (bytes, offset) => bytes.subarray(0, offset)),
    zero: (name: string, at: number) => edit(name, at, (bytes, offset) => bytes.fill(0, offset)),
  };
}
