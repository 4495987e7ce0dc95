import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { SqliteCommitLog } from '../sqlite-commit-log.ts';
import { openSqliteStore } from '../sqlite-store.ts';
import { classifySample, putPod } from '../testing/sample-values.ts';
import { examineStore } from './doctor.ts';

let dir: string;
let log: SqliteCommitLog | undefined;

const open = () =>
  openSqliteStore({
    dir,
    clock: new FakeClock(),
    log: silentLogger,
    classify: classifySample,
    wrapLog: (inner) => {
      log = inner as SqliteCommitLog;
      return inner;
    },
  });

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'coracle-doctor-'));
});
afterEach(async () => {
  await log?.abandon();
  rmSync(dir, { recursive: true });
});

/** Names, sizes and contents of all files. */
const contents = () =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(dir, name)).isFile())
    .map((name) => [name, readFileSync(join(dir, name), 'base64')]);

it('tells sound stores from damaged ones and from those in use, and changes nothing', async () => {
  const examine = () => {
    const before = contents();
    const report = examineStore(dir);
    expect(contents()).toEqual(before);
    return [report.diagnosis, report.lines.at(-1)];
  };
  expect(examine()).toEqual(['healthy', 'there is no store yet; a start makes one']);
  let store = await open();
  await putPod(store, 'a', { n: 1 });
  // Not by `examine`: to read the files of an open database in its own process drops its locks.
  expect(examineStore(dir)).toEqual({
    diagnosis: 'busy',
    lines: [expect.stringContaining(`in use by process ${process.pid}`)],
  });
  await store.close();
  expect(examine()).toEqual(['healthy', expect.stringContaining('sound')]);
  store = await open();
  await putPod(store, 'a', { n: 2 });
  await log?.abandon();
  expect(examine()).toEqual(['healthy', expect.stringContaining('sound')]);
  truncateSync(join(dir, 'state.db-wal'), statSync(join(dir, 'state.db-wal')).size - 4120);
  expect(examine()).toEqual(['recoverable', expect.stringContaining('newest commits are lost')]);
  truncateSync(join(dir, 'state.db'), 8192);
  expect(examine()).toEqual(['recoverable', expect.stringContaining('needs a sound snapshot')]);
  rmSync(join(dir, 'snapshots'), { recursive: true });
  expect(examine()).toEqual(['lost', expect.stringContaining('restore a backup')]);
});

it('takes a store for lost of which nothing is left, and so does the start: it does not begin empty', async () => {
  const store = await open();
  await putPod(store, 'a');
  await log?.abandon();
  log = undefined;
  // All there was: neither the file nor a snapshot has any of it.
  rmSync(join(dir, 'state.db-wal'));
  const before = contents();
  const { diagnosis, lines } = examineStore(dir);
  expect([diagnosis, lines.join('\n')]).toEqual(['lost', expect.stringMatching(/wal is missing.*nothing is left/s)]);
  for (let start = 0; start < 2; start++)
    await expect(open()).rejects.toThrow(/state.db-wal is missing: .*restore a backup/);
  expect(contents()).toEqual(before);
});

it('tells of earlier losses', async () => {
  let store = await open();
  await putPod(store, 'a');
  await store.close();
  store = await open();
  await putPod(store, 'b');
  await log?.abandon();
  rmSync(join(dir, 'state.db-wal'));
  store = await open();
  await store.close();
  const { diagnosis, lines } = examineStore(dir);
  expect([diagnosis, lines.join('\n')]).toEqual([
    'healthy',
    expect.stringMatching(/earlier loss, .*state.db-wal is missing/),
  ]);
});
