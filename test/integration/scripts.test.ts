import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const scripts = join(import.meta.dirname, '..', '..', 'scripts');
const folder = mkdtempSync('/tmp/coracle-scripts-');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Never as root, so that a script which does not look at its arguments ends at its next line. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
const run = (name: string, ...args: string[]) =>
  spawnSync('bash', [join(scripts, name), ...args], { encoding: 'utf8', timeout: 30_000, ...nobody });

const inLibrary = (command: string) =>
  spawnSync('bash', ['-c', `set -euo pipefail; . ${scripts}/lib.sh; run_dir=${folder}; prefix=${folder}; ${command}`], {
    encoding: 'utf8',
    timeout: 60_000,
  });

describe.each(['up', 'down', 'test', 'bench'])('scripts/%s', (name) => {
  it.each(['-h', '--help'])('tells its usage for %s and does nothing', (flag) => {
    const { status, stdout, stderr } = run(name, flag);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`scripts/${name}`);
  });

  it('refuses an argument that it does not know', () => {
    const { status, stderr } = run(name, 'fly');
    expect(stderr).toMatch(/unknown argument "fly"\nusage: /);
    expect(status).toBe(2);
  });
});

describe('what a killed supervisor leaves behind', () => {
  it('a record of a process that is gone is no error and tells nothing', () => {
    for (const file of ['agent.pid', 'agent.child.pid']) writeFileSync(join(folder, file), '4194305\n');
    const { status, stdout, stderr } = inLibrary(
      'is_stopped agent; stop_leftover_child agent; stop_leftover_child controller',
    );
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it.each([
    { what: 'our own process', words: (dir: string) => [`${dir}/lib/node`, 'x.mjs', 'agent', '600'], isStopped: true },
    { what: 'a process that was given its number', words: () => ['sleep', '', 'agent', '600'], isStopped: false },
  ])('$what: stopped $isStopped', async ({ words, isStopped }) => {
    const [argv0, ...args] = words(folder);
    // Only its command line is looked at: a shell that reads from a pipe stands for it.
    const child = spawn('bash', ['-c', 'read -r', ...args], { argv0: argv0!, stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    try {
      writeFileSync(join(folder, 'agent.child.pid'), `${child.pid}\n`);
      const { status, stderr } = inLibrary('stop_leftover_child agent');
      expect(status).toBe(0);
      expect(stderr.includes('outlived its supervisor')).toBe(isStopped);
      if (isStopped) expect(await ended).toBe('SIGTERM');
      else expect(child.signalCode).toBeNull();
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
