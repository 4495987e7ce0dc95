import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';

/** The distribution's interpreter: the client is one of its packages. */
const PYTHON = '/usr/bin/python3';
const isMissing = spawnSync(PYTHON, ['-c', 'import kubernetes']).status !== 0;
if (isMissing) console.warn('python client: skipped, the package python3-kubernetes is not installed');

describe.skipIf(isMissing)('the Python client', () => {
  let controller: ControllerProcess;
  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
  });
  afterAll(() => controller?.stop());

  it('creates, patches, scales, pages, watches and deletes, and understands refusals', async () => {
    const script = join(import.meta.dirname, '../kit/python-client.py');
    const run = promisify(execFile)(PYTHON, [script, controller.kubeconfig, controller.access.server]);
    const { stdout } = await run;
    expect(JSON.parse(stdout)).toEqual({
      version: expect.stringMatching(/^v1\.36\.0\+coracle/),
      namespaces: ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
      patched: { b: '2' },
      strategy: 'RollingUpdate',
      created: true,
      scale: 3,
      stale: [409, 'Conflict'],
      invalid: [422, 'metadata.name'],
      pages: [3, 7],
      deleted: 7,
      secret: Buffer.from('value').toString('base64'),
      gone: 'Success',
    });
  });
});
