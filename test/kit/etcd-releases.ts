import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

function unpack(release: EtcdRelease): string {
  const folder = join(tmpdir(), `coracle-test-etcd-${release}`);
  const program = join(folder, 'usr', 'bin', 'etcd');
  if (existsSync(program)) return program;
  const work = `${folder}.${process.pid}`;
  try {
    mkdirSync(join(work, 'apt', 'lists', 'partial'), { recursive: true });
    mkdirSync(join(work, 'apt', 'archives', 'partial'), { recursive: true });
    writeFileSync(join(work, 'sources.list'), `deb ${mirror()} ${release} main\n`);
    // A list of its own: the host's stays as it is.
    const options = [
      `Dir::Etc::SourceList=${work}/sources.list`,
      'Dir::Etc::SourceParts=/dev/null',
      `Dir::State::Lists=${work}/apt/lists`,
      `Dir::Cache=${work}/apt`,
      'Acquire::Languages=none',
      'APT::Sandbox::User=root',
    ].flatMap((option) => ['-o', option]);
    const run = (program: string, args: readonly string[]) =>
      execFileSync(program, args, { cwd: work, stdio: 'pipe', timeout: 120_000 });
    run('apt-get', [...options, '-qq', 'update']);
    run('apt-get', [...options, '-qq', 'download', 'etcd-server']);
    run('sh', ['-c', 'dpkg -x etcd-server_*.deb root']);
    if (!existsSync(program)) renameSync(join(work, 'root'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return program;
}

/** The one that this host takes its own packages from. */
function mirror(): string {
  const text = execFileSync('apt-get', ['indextargets', '--format', '$(SITE)'], { encoding: 'utf8' });
  const found = text.split('\n').find((site) => site.endsWith('/debian'));
  if (found === undefined) throw new Error('this host takes its packages from no Debian mirror');
  return found;
}
