import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const PAGES = ['node-features.md', 'service-features.md'] as const;

interface Row {
  readonly feature: string;
  /** `file` "test name", `file` "test name"; or why nobody has seen it. */
  readonly seen: string;
}

const rowsOf = (page: string): readonly Row[] =>
  [...readFileSync(join(import.meta.dirname, page), 'utf8').matchAll(/^\| (?!feature |trouble |---)(.*) \|$/gm)].map(
    ([, line = '']) => {
      const [feature = '', seen = ''] = line.split(' | ');
      return { feature, seen };
    },
  );

/** A file and the name of a test in it, as the source spells it. */
const namedBy = (rows: readonly Row[]) =>
  rows.flatMap(({ seen }) =>
    [...seen.matchAll(/`([\w./-]+\.ts)`((?: "[^"]+")*)/g)].map(([, file = '', names = '']) => ({
      file,
      names: [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name),
    })),
  );

describe.each(PAGES)('docs/%s', (page) => {
  const rows = rowsOf(page);

  it('names tests that exist', () => {
    const lost = namedBy(rows).flatMap(({ file, names }) => {
      if (!existsSync(join(root, file))) return [file];
      const source = readFileSync(join(root, file), 'utf8');
      return names
        .filter((name) => !source.includes(name) && !source.replaceAll("\\'", "'").includes(name))
        .map((name) => `${file}: ${name}`);
    });
    expect(lost).toEqual([]);
  });

  it('says of every feature which test shows it, or that it is unverified', () => {
    expect(rows.filter(({ seen }) => !/`[\w./-]+\.ts` "/.test(seen) && !seen.includes('unverified'))).toEqual([]);
  });
});
