import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { unpackPackages } from './debian-packages.ts';

/**
 * Where a containerd comes from: what this host has installed (Debian 12 has 1.6), Debian 13 (trixie: 1.7) or Debian unstable (sid: 2.1 at the
 * time of writing), the latter two out of their packages without installing them, with the runc of the same release.
 */
export type ContainerdRelease = 'host' | 'trixie' | 'sid';

export interface ContainerdPrograms {
  /** Folders that come first in PATH; none for the host's own. */
  readonly folders: readonly string[];
  /** Such as `1.7.24`. */
  readonly version: string;
  /** Of runc, such as `1.1.15`. */
  readonly runcVersion: string;
}

/** A string says why there is none. */
export function findContainerd(release: ContainerdRelease): ContainerdPrograms | string {
  try {
    const folders = release === 'host' ? [] : unpack(release);
    const versionOf = (program: string) => {
      const text = execFileSync(program, ['--version'], { encoding: 'utf8', env: withPrograms(folders) });
      return /\b(\d+\.\d+\.\d+)/.exec(text)?.[1] ?? 'unknown';
    };
    return { folders, version: versionOf('containerd'), runcVersion: versionOf('runc') };
  } catch (err) {
    return `no containerd of ${release}: ${(err as Error).message.split('\n')[0]}`;
  }
}

/** Programs that tests with nodes run on: CORACLE_TEST_CONTAINERD is a release; without it the host's own. */
export function programFoldersOfEnvironment(): readonly string[] {
  const release = process.env.CORACLE_TEST_CONTAINERD;
  if (release === undefined) return [];
  const found = findContainerd(release as ContainerdRelease);
  if (typeof found === 'string') throw new Error(`CORACLE_TEST_CONTAINERD=${release}: ${found}`);
  return found.folders;
}

/** Environment of a process that finds these programs before all others. */
export const withPrograms = (folders: readonly string[]): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: [...folders, process.env.PATH, '/usr/sbin', '/sbin'].join(':'),
});

function unpack(release: 'trixie' | 'sid'): string[] {
  const root = unpackPackages('containerd', release, ['containerd', 'runc', 'libc6', 'libseccomp2']);
  useOwnLibraries(root);
  return [join(root, 'usr', 'bin'), join(root, 'usr', 'sbin')];
}

/**
 * containerd is linked statically; runc wants the C library of its own release. It starts itself again by way of /proc, so the loader has to
 * stand in the program.
 */
function useOwnLibraries(root: string): void {
  const runc = join(root, 'usr', 'sbin', 'runc');
  if (spawnSync(runc, ['--version']).status === 0) return;
  const [libraries] = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
    .map((name) => join(root, 'usr', 'lib', name))
    .filter((folder) => existsSync(folder));
  if (libraries === undefined) throw new Error(`no C library below ${root}`);
  const [loader] = ['ld-linux-x86-64.so.2', 'ld-linux-aarch64.so.1']
    .map((name) => join(libraries, name))
    .filter((path) => existsSync(path));
  const changed = `${runc}.${process.pid}`;
  execFileSync('patchelf', ['--set-interpreter', loader!, '--set-rpath', libraries, '--output', changed, runc]);
  renameSync(changed, runc);
}
