import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findAnonymousAnswers, PUBLIC_PATHS, pathsToTry } from '#test/kit/anonymous-paths.ts';
import { cisChecks, runCisCheck } from '#test/kit/cis-benchmark.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

const missing = ['openssl', 'curl', 'ss'].filter((program) => spawnSync(program, ['--help']).error !== undefined);
if (missing.length > 0) console.warn(`CIS benchmark skipped: ${missing.join(', ')} not installed`);

describe.skipIf(missing.length > 0)('the CIS benchmark, of a controller with its defaults:', () => {
  let controller: ControllerProcess;
  /** The administrator's names an address that others reach. */
  let reachable = '';
  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true, flags: [] });
    reachable = join(controller.folder, 'reachable.kubeconfig');
    const text = await readFile(controller.kubeconfig, 'utf8');
    await writeFile(reachable, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
  });
  afterAll(() => controller?.stop());

  test('it tells nobody anything but health and version, on all of its paths', async () => {
    const { stdout } = await runKubectl(['get', '--raw', '/openapi/v2'], { kubeconfig: reachable });
    const paths = pathsToTry(JSON.parse(stdout));
    expect(paths.length).toBeGreaterThan(400);
    const answered = await findAnonymousAnswers(controller.access.server, paths);
    expect(answered).toEqual(PUBLIC_PATHS.map((path) => `200 ${path}`));
  });

  const checks = cisChecks('Control plane');
  test('the page has a table of it', () => expect(checks.length).toBeGreaterThan(25));

  test.each(checks.map((check) => [check.id, check.what, check] as const))('%s %s', async (_, __, check) => {
    const { access, folder, kubeconfig, pid } = controller;
    const variables = {
      DATA: join(folder, 'data'),
      ADMIN: kubeconfig,
      KUBECONFIG: reachable,
      PID: String(pid),
      SERVER: access.server,
    };
    expect(await runCisCheck(check, { variables })).toMatch(check.expected);
  });
});
