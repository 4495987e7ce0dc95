import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { renderPauseArchive, renderPauseProgram } from './pause-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'coracle-pause-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('pause program', () => {
  it.skipIf(process.arch !== 'x64' && process.arch !== 'arm64')(
    'sleeps, ignoring SIGCHLD, until it is killed',
    async () => {
      const path = join(folder, 'pause');
      writeFileSync(path, renderPauseProgram(process.arch === 'x64' ? 'amd64' : 'arm64'), { mode: 0o755 });
      const child = spawn(path, { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
      await new Promise((resolve) => child.once('spawn', resolve));
      const status = () => readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const ignored = () => BigInt(`0x${/^SigIgn:\s+(\w+)/m.exec(status())![1]}`);
      await expect.poll(() => (ignored() >> 16n) & 1n).toBe(1n);
      await expect.poll(() => /^State:\s+S/m.test(status())).toBe(true);
      child.kill('SIGTERM');
      expect(await ended).toBe('SIGTERM');
    },
  );

  it('runs on arm64 too (skipped without qemu-aarch64-static)', async ({ skip }) => {
    const path = join(folder, 'pause-arm64');
    writeFileSync(path, renderPauseProgram('arm64'), { mode: 0o755 });
    const strace = spawn('qemu-aarch64-static', ['-strace', path], { stdio: ['ignore', 'ignore', 'pipe'] });
    const isMissing = await new Promise<boolean>((resolve) => {
      strace.once('error', () => resolve(true));
      strace.once('spawn', () => resolve(false));
    });
    if (isMissing) skip('qemu-aarch64-static is not installed');
    let calls = '';
    strace.stderr.on('data', (chunk) => {
      calls += chunk;
    });
    await expect.poll(() => calls, { timeout: 5000 }).toMatch(/rt_sigaction\(SIGCHLD.*\n.*ppoll/);
    strace.kill('SIGKILL');
  });
});

describe('pause archive', () => {
  it('is a docker archive with the program in its only layer', () => {
    const path = join(folder, 'pause.tar');
    writeFileSync(path, renderPauseArchive('amd64'));
    const extract = (...args: string[]) => execFileSync('tar', ['-xOf', path, ...args]);
    const [manifest] = JSON.parse(extract('manifest.json').toString());
    expect(manifest).toMatchObject({ RepoTags: ['coracle.dev/pause:1'], Layers: ['layer.tar'] });
    const program = execFileSync('tar', ['-xOf', '-', 'pause'], { input: extract('layer.tar') });
    expect(Buffer.compare(program, renderPauseProgram('amd64'))).toBe(0);
    const config = JSON.parse(extract(manifest.Config).toString());
    expect(config).toMatchObject({ architecture: 'amd64', os: 'linux', config: { Entrypoint: ['/pause'] } });
  });

  it('has the same bytes each time', () => {
    expect(Buffer.compare(renderPauseArchive('arm64'), renderPauseArchive('arm64'))).toBe(0);
  });
});
