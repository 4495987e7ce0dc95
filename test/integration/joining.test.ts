import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resources, type Secret } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';

/*
 * Hosts that try to join with the real command line, and what they are told. None of them comes as far as starting a runtime.
 */

const CORACLE = join(import.meta.dirname, '../../bin/coracle');
const NAMESPACE = 'kube-system';

let controller: ControllerProcess;
let kubeconfig: string;
let line: string;
let agents = 0;

beforeAll(async () => {
  controller = await startControllerProcess();
  // As on the host of the controller, at the address where this one really is.
  const { server, ca: caPem = '', cert: certificatePem = '', key: privateKeyPem = '' } = controller.access;
  kubeconfig = join(controller.folder, 'local.kubeconfig');
  await writeFile(kubeconfig, renderKubeconfig({ servers: [server], caPem, certificatePem, privateKeyPem }));
  line = (await coracle('token', 'create')).stdout;
});
afterAll(() => controller?.stop());

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function coracle(...args: readonly string[]): Promise<Ran> {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  return new Promise((resolve) => {
    execFile(CORACLE, args, { env, timeout: 40_000 }, (err, stdout, stderr) =>
      resolve({ code: err === null ? 0 : typeof err.code === 'number' ? err.code : -1, stdout, stderr }),
    );
  });
}

/** As on a host with nothing on it. */
async function tryToJoin(token: string): Promise<Ran> {
  const folder = join(controller.folder, `agent-${agents++}`);
  const { server } = controller.access;
  const ran = await coracle(
    ...['agent', '--servers', server, '--token', token, '--node-name', 'newcomer'],
    ...['--data-dir', folder, '--run-dir', folder, '--cri-endpoint', `unix://${folder}/none.sock`],
  );
  await rm(folder, { recursive: true, force: true });
  return ran;
}

const tokenOf = (text: string): string => /--token (\S+)/.exec(text)?.[1] ?? '';
const idOf = (token: string): string => token.slice(0, 6);

async function change(token: string, data: Readonly<Record<string, string>>): Promise<void> {
  const secrets = controller.client.resource<Secret>(resources.secrets);
  const patch = { stringData: data };
  await secrets.patch({ name: `bootstrap-token-${idOf(token)}`, namespace: NAMESPACE, type: 'merge', patch });
}

async function freshToken(): Promise<string> {
  return tokenOf((await coracle('token', 'create', '--ttl-hours', '1')).stdout);
}

test('a token is told as the one line to paste', () => {
  expect(line).toMatch(
    /^coracle agent --servers https:\/\/\S+ --token [a-z0-9]{6}\.[a-z0-9]{16}@sha256:[0-9a-f]{64}\n$/,
  );
});

test.each<[string, () => Promise<string>, RegExp]>([
  [
    'of another CA',
    async () => tokenOf(line).replace(/@sha256:.*/, `@sha256:${'0'.repeat(64)}`),
    /shows the CA sha256:[0-9a-f]{64}, but the token pins sha256:0{64}: the token belongs to another cluster, or something stands between/,
  ],
  ['without a CA', async () => tokenOf(line).replace(/@.*/, ''), /the token carries no CA pin and none is configured/],
  [
    'that expired',
    async () => {
      const token = await freshToken();
      await change(token, { expiration: toTime(Date.now() - 5_000) });
      return token;
    },
    // The controller cleans expired tokens up, so that it may be one that nobody knows by now.
    /the bootstrap token \w{6} is refused: it expired at \S+Z: make a new one|does not know this token: it was deleted, or has expired: make a new one/,
  ],
  [
    'for another usage',
    async () => {
      const token = await freshToken();
      await change(token, { 'usage-bootstrap-authentication': 'false' });
      return token;
    },
    /the bootstrap token \w{6} is refused: it is not meant for authentication: make a new one with `coracle token create`/,
  ],
  [
    'that was deleted',
    async () => {
      const token = await freshToken();
      expect((await coracle('token', 'delete', idOf(token))).stdout).toBe(`token ${idOf(token)} deleted\n`);
      return token;
    },
    /does not know this token: it was deleted, or has expired: make a new one with `coracle token create`/,
  ],
  [
    'with a wrong secret, which learns nothing',
    async () => tokenOf(line).replace(/\.[a-z0-9]{16}@/, '.0000000000000000@'),
    /does not know this token: it was deleted, or has expired/,
  ],
])('a host with a token %s is refused and told why', async (_, make, message) => {
  const token = await make();
  const { code, stderr } = await tryToJoin(token);
  expect(stderr).toMatch(message);
  expect(code).not.toBe(0);
  // Whoever reads the journal does not get the token.
  expect(stderr).not.toContain(token.split('.')[1]?.slice(0, 16));
});

test('what was refused is in the audit log, and the token that is good in the list', async () => {
  const audited = (await readFile(join(controller.folder, 'audit.log'), 'utf8')).split('\n');
  expect(audited.some((one) => /certificatesigningrequests.*"code":401/.test(one))).toBe(true);
  expect((await coracle('token', 'list')).stdout).toContain(idOf(tokenOf(line)));
});
