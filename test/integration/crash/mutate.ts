/**
 * Preloaded (`--import`) to run a build that is broken in one place: the environment variable MUTANT names which. The suites must fail with
 * each of them. What to change is named by its text; a text that is no longer there is an error, so that no mutant goes stale unseen.
 */
import { registerHooks } from 'node:module';

interface Mutation {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export const MUTANTS: Readonly<Record<string, Mutation>> = {
  'acknowledges before the fsync': {
    file: 'controller/store/sqlite-database.ts',
    from: 'PRAGMA synchronous = FULL',
    to: 'PRAGMA synchronous = OFF',
  },
  'folds before its evidence is durable': {
    file: 'controller/store/integrity/witness.ts',
    from: "this.#marks.write(this.#mark, 'synced');\n    }\n    const isFolded",
    to: "this.#marks.write(this.#mark, 'unsynced');\n    }\n    const isFolded",
  },
  'writes over the sums in force': {
    file: 'controller/store/integrity/page-sums.ts',
    from: 'version % 2}',
    to: 'version * 0}',
  },
  'reuses revisions': {
    file: 'controller/store/sqlite-database.ts',
    from: 'const reservedRevision = this.#reserved;',
    to: 'const reservedRevision = this.#revision;',
  },
  'skips the checksums of pages': {
    file: 'controller/store/integrity/judge.ts',
    from: 'if (sums[at] !== pages[at])',
    to: 'if (pages[at] === undefined)',
  },
  'skips the checksums of the WAL': {
    file: 'controller/store/integrity/wal-file.ts',
    from: 'return sum[0] === stored[0] && sum[1] === stored[1];',
    to: 'return true;',
  },
  'does not look at the commit mark': {
    file: 'controller/store/integrity/judge.ts',
    from: 'if (wal.committedFrames < frames) return false;',
    to: 'return true;',
  },
};

const name = process.env.MUTANT;
const mutation = name === undefined ? undefined : MUTANTS[name];
if (name !== undefined && mutation === undefined) throw new Error(`there is no mutant "${name}"`);
if (mutation !== undefined) {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(`/${mutation.file}`)) return loaded;
      const source = String(loaded.source);
      if (!source.includes(mutation.from)) throw new Error(`mutant "${name}": ${mutation.file} has changed`);
      return { ...loaded, source: source.replace(mutation.from, mutation.to) };
    },
  });
}
