import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const map = readFileSync(join(import.meta.dirname, 'map.md'), 'utf8');

/** Code spans that are nothing but a relative path; those of the API (`/healthz`) begin with a slash. */
const paths = [...map.matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map((match) => match[1]!);

const NOT_SOURCES = new Set(['node_modules', 'out', 'docs']);

const isNamed = (folder: string) => paths.some((path) => path.startsWith(`${folder}/`));

/** Folders below `parent`, `depth` levels deep, that hold a file (git knows no others) and are more than helpers of their neighbours. */
function foldersOf(parent: string, depth: number): string[] {
  if (depth === 0) return [];
  return readdirSync(join(root, parent), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'testing' && !entry.name.startsWith('.'))
    .map((entry) => join(parent, entry.name))
    .filter(holdsFiles)
    .flatMap((folder) => [folder, ...foldersOf(folder, depth - 1)]);
}

function holdsFiles(folder: string): boolean {
  return readdirSync(join(root, folder), { withFileTypes: true }).some(
    (entry) => entry.isFile() || (entry.isDirectory() && holdsFiles(join(folder, entry.name))),
  );
}

describe('docs/map.md', () => {
  it('names paths that exist', () => {
    expect(paths.length).toBeGreaterThan(100);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('ends folders, and folders only, with a slash', () => {
    const existing = paths.filter((path) => existsSync(join(root, path)));
    expect(existing.filter((path) => path.endsWith('/') !== statSync(join(root, path)).isDirectory())).toEqual([]);
  });

  it('names every top-level folder of sources', () => {
    const sources = foldersOf('.', 1).filter((folder) => !NOT_SOURCES.has(folder));
    expect(sources.filter((folder) => !isNamed(folder))).toEqual([]);
  });

  it('names every folder down to two levels below controller/ and agent/', () => {
    const folders = [...foldersOf('controller', 2), ...foldersOf('agent', 2)];
    expect(folders.filter((folder) => !isNamed(folder))).toEqual([]);
  });
});
