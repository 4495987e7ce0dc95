/**
 * Writes to a SQLite store without end and prints `<name> <counter>` for every acknowledged write, until it is killed.
 * Arguments: directory, `honest` or `early`. `early` is the broken build: it acknowledges before the write has reached SQLite.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { CommitLog } from '#controller/store/commit-log.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import { classifySample, putPod } from '#controller/store/testing/sample-values.ts';

const WRITERS = 8;
const PODS_PER_WRITER = 5;

/** Commits a little later than it says. (The page cache survives kill -9, so skipping the fsync alone would not show.) */
function acknowledgeEarly(log: CommitLog): CommitLog {
  let last: Promise<void> = Promise.resolve();
  return {
    async commit(batch) {
      last = last.then(() => sleep(20)).then(() => log.commit(batch));
    },
    close: (shownRevision) => log.close(shownRevision),
  };
}

const [dir, build] = process.argv.slice(2);
const store = await openSqliteStore({
  dir: dir!,
  clock: systemClock,
  log: silentLogger,
  classify: classifySample,
  ...(build === 'early' ? { wrapLog: acknowledgeEarly } : {}),
});

async function writeForEver(writer: number): Promise<void> {
  const start = Date.now();
  for (let i = 0; ; i++) {
    const name = `pod-${writer}-${i % PODS_PER_WRITER}`;
    const counter = start + i;
    await putPod(store, name, { counter });
    // A pipe is written synchronously: the line is out before the next write begins.
    process.stdout.write(`${name} ${counter}\n`);
  }
}
await Promise.all(Array.from({ length: WRITERS }, (_, writer) => writeForEver(writer)));
