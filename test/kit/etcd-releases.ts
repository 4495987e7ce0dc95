import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackPackages } from './debian-packages.ts';

/**
 * Where an etcd comes from: what this host has installed, or a release of the distribution, taken out of its package without installing it
 * where the host is of another. Debian 12 (bookworm) has 3.4.23, Debian 13 (trixie) 3.5.16.
 */
export type EtcdRelease = 'host' | 'bookworm' | 'trixie';

export interface EtcdProgram {
  readonly path: string;
  /** Such as `3.5.16`. */
  readonly version: string;
}

/** A string says why there is none. */
export function findEtcd(release: EtcdRelease): EtcdProgram | string {
  try {
    const path = release === 'host' || isInstalled(release) ? 'etcd' : unpack(release);
    const version = /etcd Version: (\S+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1];
    return version === undefined ? `${path} does not tell its version` : { path, version };
  } catch (err) {
    const why = (err as Error).message.split('\n')[0];
    return release === 'host' ? `no etcd on this host (package etcd-server): ${why}` : `no etcd of ${release}: ${why}`;
  }
}

/** This host is of that release and has the package. */
function isInstalled(release: EtcdRelease): boolean {
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return codename === release && spawnSync('etcd', ['--version']).status === 0;
}

function unpack(release: Exclude<EtcdRelease, 'host'>): string {
  return join(unpackPackages('etcd', release, ['etcd-server']), 'usr', 'bin', 'etcd');
}
