import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '#base/config.ts';
import { type Backend, readBackendNote, refuseEmptyEtcd, refuseLostState, writeBackendNote } from './state-backend.ts';

describe('the note of where the state of a cluster is', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'coracle-backend-'));
  });
  afterEach(() => rm(dataDir, { recursive: true }));

  const put = async (name: string): Promise<void> => {
    await mkdir(join(dataDir, 'store'), { recursive: true });
    await writeFile(join(dataDir, 'store', name), 'x');
  };
  const refusal = (backend: Backend) =>
    refuseLostState(dataDir, backend).then(
      () => undefined,
      (err: unknown) => {
        expect(err).toBeInstanceOf(ConfigError);
        expect((err as Error).message).not.toContain('\n');
        return (err as Error).message;
      },
    );

  it.each<[string, Backend | undefined, string[], Backend, RegExp | undefined]>([
    ['a new cluster', undefined, [], 'sqlite', undefined],
    ['a new cluster over etcd', undefined, [], 'etcd', undefined],
    ['a store where it was', 'sqlite', ['state.db'], 'sqlite', undefined],
    ['a store of which the recovery finds something', 'sqlite', ['state.mark'], 'sqlite', undefined],
    ['an empty folder of the store', 'sqlite', ['state.db.lock'], 'sqlite', /is gone: .*coracle restore.*delete \S+$/],
    ['no folder of the store', 'sqlite', [], 'sqlite', /is gone: \S+store holds neither/],
    ['a state that is in etcd', 'etcd', [], 'sqlite', /is in etcd: set "store: etcd".*migrate --to sqlite/],
    ['a state that is not in etcd', 'sqlite', ['state.db'], 'etcd', /is in \S+store: set "store: sqlite".*--to etcd/],
    ['etcd as before', 'etcd', [], 'etcd', undefined],
  ])('%s', async (_, noted, files, backend, expected) => {
    for (const name of files) await put(name);
    if (noted !== undefined) await writeBackendNote(dataDir, noted);
    const message = await refusal(backend);
    if (expected === undefined) expect(message).toBeUndefined();
    else expect(message).toMatch(expected);
  });

  it('takes an etcd for a new one only where none was before', async () => {
    await refuseEmptyEtcd(dataDir, '/registry');
    await writeBackendNote(dataDir, 'etcd');
    await expect(refuseEmptyEtcd(dataDir, '/registri')).rejects.toThrow(/nothing below \/registri.*etcdPrefix right/);
  });

  it('counts as none where it is garbled', async () => {
    await writeFile(join(dataDir, 'state-backend'), '\0\0\0');
    expect(await readBackendNote(dataDir)).toBeUndefined();
    await writeBackendNote(dataDir, 'etcd');
    expect(await readBackendNote(dataDir)).toBe('etcd');
  });
});
