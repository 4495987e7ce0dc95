import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { programEnvironment } from '#test/kit/program.ts';
import { startControllerProcess } from '../kit/controller-process.ts';

it('a controller that dies at once is not waited for, and its last words are told', async () => {
  const startedMs = performance.now();
  // Its folder stays, for who wants to read the log.
  const parent = mkdtempSync(join(tmpdir(), 'coracle-dead-'));
  try {
    await expect(startControllerProcess({ fromSource: true, flags: ['--no-such-flag'], parent })).rejects.toThrow(
      /the controller ended \(exit code \d+\): .*no-such-flag/s,
    );
  } finally {
    rmSync(parent, { recursive: true });
  }
  expect(performance.now() - startedMs).toBeLessThan(60_000);
});

it('a second controller on the same data changes nothing before it ends', async () => {
  const controller = await startControllerProcess({ fromSource: true });
  try {
    const pki = join(controller.folder, 'data', 'pki');
    const files = () => {
      const paths = [...readdirSync(pki).map((name) => join(pki, name)), controller.kubeconfig];
      return Object.fromEntries(paths.map((path) => [path, readFileSync(path, 'utf8')]));
    };
    const before = files();
    // Another address, for which the serving certificate would have to be made anew.
    const { status, stderr } = spawnSync(
      join(import.meta.dirname, '..', '..', 'bin', 'coracle'),
      [
        ...['controller', '--data-dir', join(controller.folder, 'data'), '--kubeconfig', controller.kubeconfig],
        ...['--bind-address', '127.0.0.2', '--advertise-address', '192.0.2.253'],
      ],
      { encoding: 'utf8', env: { ...process.env, ...programEnvironment }, timeout: 150_000 },
    );
    expect(stderr).toMatch(/another process uses this data directory/);
    expect(status).toBe(1);
    expect(files()).toEqual(before);
  } finally {
    await controller.stop();
  }
});
