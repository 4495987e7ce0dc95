import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (name: string) => readFileSync(join(root, name), 'utf8');

interface LockEntry {
  readonly version: string;
  readonly integrity?: string;
  /** Comes inside the archive of the package above it, whose hash covers it. */
  readonly inBundle?: boolean;
  readonly hasInstallScript?: boolean;
  readonly resolved?: string;
}

const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string> | undefined>;
const { packages } = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, LockEntry>> };
const installed = Object.entries(packages).filter(([path]) => path !== '');
const declared = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
  Object.entries(manifest[kind] ?? {}),
);

/** Packages that run something when they are installed, although nothing of ours needs that; SECURITY.md says what. */
const WITH_INSTALL_SCRIPT = ['node_modules/esbuild', 'node_modules/protobufjs'];

it.each(declared)('%s is pinned to %s, in the lock file too', (name, version) => {
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(packages[`node_modules/${name}`]?.version).toBe(version);
});

it('every package has the hash of its archive, or comes inside of one that has', () => {
  const open = installed.filter(([path, { integrity, inBundle }]) => {
    if (inBundle !== true) return !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '');
    const bundler = path.slice(0, path.indexOf('/node_modules/', 'node_modules/'.length));
    return packages[bundler]?.integrity === undefined;
  });
  expect(open.map(([path]) => path)).toEqual([]);
});

it('no package comes from anywhere but the registry that is configured', () => {
  expect(installed.filter(([, { resolved = '' }]) => /^(?:git|file|http:)/.test(resolved))).toEqual([]);
});

it('nothing is run by an install but what is known', () => {
  const scripts = installed.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => path);
  expect(scripts.sort()).toEqual(WITH_INSTALL_SCRIPT);
  const security = read('SECURITY.md');
  for (const path of WITH_INSTALL_SCRIPT) expect(security).toContain(`\`${path.slice('node_modules/'.length)}\``);
});
