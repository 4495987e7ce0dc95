import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { runDoctor } from './doctor-command.ts';
import { writeBackendNote } from './state-backend.ts';
import { findSealingKeyNames } from './store/seal/sealing-key-names.ts';
import { planSealing } from './store/seal/sealing-plan.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import { classifySample, sampleValue } from './store/testing/sample-values.ts';

let dataDir: string;
let told: string[];

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'coracle-doctor-'));
  told = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void told.push(line));
  const store = await openSqliteStore({
    dir: join(dataDir, 'store'),
    clock: new FakeClock(),
    log: silentLogger,
    classify: classifySample,
    sealing: planSealing(
      { ringPath: join(dataDir, 'seal', 'keys.json'), encryptSecrets: true, configuration: undefined },
      [],
    ),
  });
  await store.write('/registry/secrets/default/a', () => ({ kind: 'put', value: sampleValue('Secret', 'a') }));
  await store.close();
  await writeBackendNote(dataDir, 'sqlite');
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dataDir, { recursive: true });
});

it.each([
  ['the data directory', ''],
  ['the store in it', 'store'],
])('finds the store by %s', async (_, name) => {
  expect(await runDoctor(['store', join(dataDir, name)], '/unused')).toBe(0);
  expect(told.at(-1)).toContain('sound: everything that was acknowledged is there');
});

it('tells of values whose key is missing: a start would refuse', async () => {
  rmSync(join(dataDir, 'seal', 'keys.json'));
  expect(await runDoctor(['store'], dataDir)).toBe(3);
  expect(told.at(-1)).toMatch(/sealed under "coracle-[0-9a-f]{8}", which is not in \S+keys\.json/);
});

it('takes a state that is gone for no new one', async () => {
  renameSync(join(dataDir, 'store'), join(dataDir, 'elsewhere'));
  expect(await runDoctor(['store'], dataDir)).toBe(3);
  expect(told.at(-1)).toContain('the state of this cluster is gone');
});

it('has nothing to say of a state that is in etcd', async () => {
  await writeBackendNote(dataDir, 'etcd');
  await expect(runDoctor(['store'], dataDir)).rejects.toThrow(/is in etcd: ask "etcdctl endpoint health/);
});

it('finds the names of keys across the edges of what is read at once', () => {
  const path = join(dataDir, 'file');
  for (const before of [0, 2 ** 20 - 64, 2 ** 20 - 20, 2 ** 20 - 1, 2 ** 20, 2 ** 21 - 8]) {
    writeFileSync(path, Buffer.concat([Buffer.alloc(before), Buffer.from('k8s:enc:aesgcm:v1:coracle-0123abcd:xyz')]));
    expect([...findSealingKeyNames([path, '/nonexistent'])]).toEqual(['coracle-0123abcd']);
  }
});
