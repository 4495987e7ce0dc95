import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SqliteCommitLog } from './sqlite-commit-log.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { GatedCommitLog } from './testing/gated-commit-log.ts';
import { describeStoreContract } from './testing/store-contract.ts';

describeStoreContract('SQLite', 'disk', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'coracle-store-'));
  let inner: SqliteCommitLog | undefined;
  return {
    async open(options) {
      let log: GatedCommitLog | undefined;
      const store = await openSqliteStore({
        ...options,
        dir,
        wrapLog: (sqlite) => {
          inner = sqlite as SqliteCommitLog;
          log = new GatedCommitLog(sqlite);
          return log;
        },
      });
      return { store, log: log! };
    },
    crash: async () => {
      await inner?.abandon();
    },
    dispose: () => rm(dir, { recursive: true }),
  };
});
