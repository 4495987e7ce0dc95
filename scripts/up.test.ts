import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const run = (command: string, args: readonly string[]) => spawnSync(command, args, { encoding: 'utf8' });

describe('scripts/up', () => {
  const up = join(import.meta.dirname, 'up');

  it.each([
    ['an unknown argument', ['node'], 'unknown argument "node"'],
    ['an unknown flag', ['agent', '--server', 'https://192.0.2.1:6443'], 'unknown argument "--server"'],
    ['a missing token', ['agent', '--servers', 'https://192.0.2.1:6443'], 'needs --servers and --token'],
    [
      'a flag without its value',
      ['agent', '--servers=https://192.0.2.1:6443', '--token'],
      'needs --servers and --token',
    ],
  ])('refuses %s before it does anything', (_, args, message) => {
    const { status, stderr } = run(up, args);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });

  it('tells how it is used', () => {
    const { status, stdout } = run(up, ['agent', '--help']);
    expect(stdout).toContain('scripts/up agent --servers');
    expect(status).toBe(0);
  });
});

describe('yaml_without', () => {
  it.each([
    ['a value', 'token: "a"\nnodeIp: 192.0.2.7\n', 'nodeIp: 192.0.2.7\n'],
    ['a list, indented or not', 'servers:\n  - a\n- b\nlogLevel: debug\n', 'logLevel: debug\n'],
    ['keys beside each other', '# mine\ntoken: a\nservers:\n- b\n# too\n', '# mine\n# too\n'],
    ['nothing of other keys', 'reserved:\n  token: a\ntokens: b\n', 'reserved:\n  token: a\ntokens: b\n'],
  ])('takes away %s', (_, before, after) => {
    const dir = mkdtempSync(join(tmpdir(), 'yaml-without-'));
    try {
      const file = join(dir, 'agent.yaml');
      writeFileSync(file, before);
      const script = '. "$1"; yaml_without "servers|token" "$2"';
      expect(run('bash', ['-c', script, 'bash', join(import.meta.dirname, 'lib.sh'), file]).stdout).toBe(after);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('tell_plainly', () => {
  it.each([
    [
      'what, and why',
      '{"level":"warn","err":{"message":"no answer","kind":"x"},"msg":"trying again"}',
      'trying again: no answer',
    ],
    ['what', '{"level":"info","node":"pi","msg":"the \\"node\\" is up"}', 'the \\"node\\" is up'],
    ['once', '{"waitMs":1,"msg":"trying again"}\n{"waitMs":2,"msg":"trying again"}', 'trying again'],
    ['other lines as they are', 'coracle agent: the token is wrong', 'coracle agent: the token is wrong'],
  ])('tells %s', (_, log, told) => {
    const script = '. "$1"; tell_plainly <<<"$2"';
    expect(run('bash', ['-c', script, 'bash', join(import.meta.dirname, 'lib.sh'), log]).stdout).toBe(`${told}\n`);
  });
});
