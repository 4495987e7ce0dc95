import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Debian 12, 13 and unstable. */
export type DebianRelease = 'bookworm' | 'trixie' | 'sid';

/**
 * The folder that holds the files of these packages of a release, whatever release this host is of: nothing is installed, and what was
 * unpacked once is found again. Throws where the host takes its packages from no Debian mirror, or the mirror does not answer.
 */
export function unpackPackages(name: string, release: DebianRelease, packages: readonly string[]): string {
  const folder = join(tmpdir(), `coracle-test-${name}-${release}`);
  if (existsSync(folder)) return folder;
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
    run('apt-get', [...options, '-qq', 'download', ...packages]);
    run('sh', ['-c', 'for package in *.deb; do dpkg -x "$package" root; done']);
    moveUnlessThere(join(work, 'root'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}

/** Another test may have come first. */
function moveUnlessThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (err) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((err as NodeJS.ErrnoException).code ?? '')) throw err;
  }
}

/** The one that this host takes its own packages from. */
function mirror(): string {
  const text = execFileSync('apt-get', ['indextargets', '--format', '$(SITE)'], { encoding: 'utf8' });
  const found = text.split('\n').find((site) => site.endsWith('/debian'));
  if (found === undefined) throw new Error('this host takes its packages from no Debian mirror');
  return found;
}
