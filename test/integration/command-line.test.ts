import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { programEnvironment } from '#test/kit/program.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const coracle = join(import.meta.dirname, '..', '..', 'bin', 'coracle');
const folder = mkdtempSync('/tmp/coracle-cli-');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (...args: string[]) =>
  spawnSync(coracle, args, { encoding: 'utf8', env: { ...process.env, ...programEnvironment }, timeout: 150_000 });

describe('the command line', () => {
  it.each([
    { name: 'an unknown command', args: ['fly'], code: 2, text: /unknown command "fly"/ },
    {
      name: 'an unknown flag, with a guess',
      args: ['agent', '--sever', 'x'],
      code: 2,
      text: /unknown flag "--sever"; did you mean "--servers"/,
    },
    { name: 'an agent without a server', args: ['agent', '--data-dir', folder], code: 2, text: /no server is named/ },
    {
      name: 'a configuration file that is not there',
      args: ['agent', '--config', '/nowhere.yaml'],
      code: 2,
      text: /\/nowhere\.yaml: no such file/,
    },
    {
      name: 'a token command without its action',
      args: ['token'],
      code: 2,
      text: /action is missing: create, list or/,
    },
    {
      name: 'an unknown action',
      args: ['token', 'make'],
      code: 2,
      text: /unknown action "make": create, list or delete/,
    },
    {
      name: 'a word behind token create',
      args: ['token', 'create', 'foo'],
      code: 2,
      text: /unexpected argument "foo"/,
    },
    { name: 'a word behind token list', args: ['token', 'list', 'foo'], code: 2, text: /unexpected argument "foo"/ },
    { name: 'a word behind version', args: ['version', 'foo'], code: 2, text: /unexpected argument "foo"/ },
    { name: 'a word behind kubeconfig', args: ['kubeconfig', 'foo'], code: 2, text: /unexpected argument "foo"/ },
    {
      name: 'groups without a user',
      args: ['kubeconfig', '--groups', 'dev'],
      code: 2,
      text: /--groups goes with --user/,
    },
    {
      name: 'a user of the cluster itself',
      args: ['kubeconfig', '--user', 'ann', '--groups', 'system:masters'],
      code: 2,
      text: /"system:" are those of the cluster itself/,
    },
    {
      name: 'a port that is none',
      args: ['controller', '--port', '0'],
      code: 2,
      text: /--port: 0 is not a whole number/,
    },
    {
      name: 'a malformed join token',
      args: [
        ...['agent', '--servers', 'https://127.0.0.1:1', '--node-name', 'n', '--data-dir', join(folder, 'a')],
        ...['--run-dir', folder, '--cri-endpoint', `unix://${folder}/none.sock`, '--token', 'hello'],
      ],
      code: 2,
      text: /the join token is malformed/,
    },
  ])('refuses $name', ({ args, code, text }) => {
    const result = run(...args);
    expect(result.stderr).toMatch(text);
    expect(result.status).toBe(code);
  });

  it('tells its version and its commands', () => {
    expect(run('version').stdout).toMatch(/^coracle \d+\.\d+\.\d+ \(Kubernetes v1\.36/);
    expect(run('--version').stdout).toBe(run('version').stdout);
    expect(run('--help').stdout).toMatch(/controller[\s\S]*agent cleanup[\s\S]*token/);
    expect(run('token', '-h').stdout).toMatch(/24 hours[\s\S]*--output yaml/);
    expect(run('controller', '--help').stdout).toContain('--data-dir');
  });

  it('goes on waiting for a server that is not there, and ends when told to', async () => {
    // 127.0.0.1:1 refuses at once: between two tries nothing but a timer is left to wait for.
    const token = `abcdef.0123456789abcdef@sha256:${'0'.repeat(64)}`;
    const agent = spawn(
      coracle,
      [
        'agent',
        '--servers',
        'https://127.0.0.1:1',
        '--token',
        token,
        '--node-name',
        'n',
        '--data-dir',
        folder,
        '--run-dir',
        folder,
        '--cri-endpoint',
        `unix://${folder}/none.sock`,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...programEnvironment } },
    );
    let output = '';
    agent.stderr.on('data', (chunk) => (output += chunk));
    try {
      await waitUntil('several tries', 30_000, () => (output.match(/127\.0\.0\.1:1|ECONNREFUSED/g)?.length ?? 0) >= 3);
      expect(agent.exitCode, output).toBeNull();
    } finally {
      const gone = new Promise((resolve) => agent.once('exit', resolve));
      agent.kill('SIGTERM');
      await gone;
    }
    expect(output).not.toContain('unsettled');
  });
});
