import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateBootstrapToken } from '#controller/apiserver/authenticate/bootstrap-token.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';
import { filesOnDisk, plantValue, procFiles, searchFiles, searchFor } from '#test/kit/planted-values.ts';
import { programEnvironment } from '#test/kit/program.ts';

/**
 * Values that nobody but their users should see are planted in every way in which they come to a controller, also in requests that fail;
 * then everything that it keeps or shows is searched for them, in each spelling in which they could have got there.
 */
const planted = {
  secret: plantValue(),
  replaced: plantValue(),
  patched: plantValue(),
  refused: plantValue(),
  malformed: plantValue(),
  bearer: plantValue(),
  query: plantValue(),
  passphrase: plantValue(),
  bootstrap: generateBootstrapToken(),
};

/** The control: what nobody hides must be found wherever the search looks, or it could not find what it must not. */
const visible = plantValue();
const findVisible = searchFor({ visible });

let controller: ControllerProcess;
let kubeconfig = '';
let said = '';

async function kubectl(args: string, stdin = ''): Promise<string> {
  const { stdout, stderr } = await runKubectl(args.split(' '), { kubeconfig, stdin, timeoutMs: 30_000 });
  return `${stdout}${stderr}`;
}

const secret = (name: string, value: string, extra: object = {}) =>
  JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { key: value }, ...extra });

async function send(path: string, init: { token?: string; method?: string; body?: string } = {}): Promise<string> {
  const { access } = controller;
  const { request } = await import('node:https');
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      ...(init.token === undefined ? {} : { authorization: `Bearer ${init.token}` }),
    };
    const options = { method: init.method ?? 'GET', headers, ca: access.ca };
    const client = init.token === undefined ? { cert: access.cert, key: access.key } : {};
    const sent = request(`${access.server}${path}`, { ...options, ...client }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => resolve(text));
    });
    sent.once('error', reject);
    sent.end(init.body);
  });
}

beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true });
  kubeconfig = join(controller.folder, 'reachable.kubeconfig');
  const text = readFileSync(controller.kubeconfig, 'utf8');
  await writeFile(kubeconfig, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
  await kubectl('create -f -', secret('a', planted.secret));
  await kubectl('apply -f -', secret('b', planted.replaced));
  await kubectl('apply -f -', secret('b', 'something else'));
  await kubectl(`patch secret a --type=merge -p {"stringData":{"key":"${planted.patched}"}}`);
  await kubectl(`create configmap ${visible} --from-literal=key=${visible}`);
  // Requests that fail, whose errors are what people see.
  said += await kubectl('create -f -', secret('c', planted.refused, { type: 'kubernetes.io/tls' }));
  said += await kubectl('create -f -', secret('a', planted.refused));
  said += await send('/api/v1/namespaces/default/secrets', {
    method: 'POST',
    body: `{"data":{"k":"${planted.malformed}"`,
  });
  said += await send('/api/v1/namespaces/default/secrets', {
    method: 'POST',
    body: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"d"},"data":{"k":"${planted.malformed}!"}}`,
  });
  said += await send('/api/v1/namespaces/default/pods', { token: planted.bearer });
  said += await send(`/api/v1/namespaces/default/pods?access_token=${planted.query}&limit=x`);
  const [id = '', key = ''] = planted.bootstrap.split('.');
  const data = { 'token-id': id, 'token-secret': key, 'usage-bootstrap-authentication': 'true' };
  const metadata = { name: `bootstrap-token-${id}`, namespace: 'kube-system' };
  const type = 'bootstrap.kubernetes.io/token';
  await kubectl('create -f -', JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, type, stringData: data }));
  said += await send('/api/v1/namespaces/kube-system/secrets', { token: planted.bootstrap });
  // Everything that is written later is written now.
  await controller.restart();
  await kubectl('get secrets -A');
});
afterAll(() => controller?.stop());

const secretOfToken = planted.bootstrap.split('.')[1]!;
const foundIn = searchFor({ ...planted, bootstrap: secretOfToken });

describe('a value that is secret is not to be found', () => {
  test.each([
    ['as it is', (value: string) => value],
    ['as a part of base64', (value: string) => Buffer.from(`zz${value}`).toString('base64')],
    ['as base64 in a URL', (value: string) => encodeURIComponent(Buffer.from(`z${value}`).toString('base64'))],
    ['percent-encoded', encodeURIComponent],
    ['in JSON', JSON.stringify],
  ])('(the search finds one %s)', (_, write) => {
    expect(foundIn(`x${write(planted.secret)}y`)).toEqual(['secret']);
  });

  test('(the search finds in state and audit log, in /proc and in answers what is not hidden)', async () => {
    const files = searchFiles(filesOnDisk(controller.folder), findVisible).map(([path]) => basename(path));
    expect(files).toEqual(expect.arrayContaining(['audit.log', expect.stringMatching(/^state\.db/)]));
    const bystander = spawn('sleep', ['60'], { env: { VISIBLE: visible }, argv0: `sleep-${visible}` });
    try {
      for (const file of ['cmdline', 'environ'] as const) {
        expect(searchFiles(procFiles(file), findVisible)).toEqual([[`/proc/${bystander.pid}/${file}`, ['visible']]]);
      }
    } finally {
      bystander.kill();
    }
    expect(findVisible(await kubectl('get configmaps -o yaml'))).toEqual(['visible']);
  });

  test('in any file of the controller: state, WAL, snapshots, logs, audit log', () => {
    const files = filesOnDisk(controller.folder);
    expect(files.some((path) => path.endsWith('audit.log'))).toBe(true);
    expect(files.some((path) => path.endsWith('state.db'))).toBe(true);
    expect(searchFiles(files, foundIn)).toEqual([]);
  });

  test('in a backup', async () => {
    const path = join(controller.folder, 'planted.backup');
    const env = { ...process.env, ...programEnvironment, CORACLE_BACKUP_PASSPHRASE: planted.passphrase };
    const program = join(import.meta.dirname, '..', '..', 'bin', 'coracle');
    const args = ['backup', path, '--data-dir', join(controller.folder, 'data')];
    await promisify(execFile)(program, args, { env, timeout: 50_000 });
    expect(foundIn(readFileSync(path))).toEqual([]);
  });

  test('in what people are told when a request fails', () => {
    expect(said).toContain('Unauthorized');
    expect(foundIn(said)).toEqual([]);
  });

  test('in events', async () => {
    expect(foundIn(await kubectl('get events -A -o yaml'))).toEqual([]);
  });

  test('in metrics', async () => {
    expect(foundIn(await kubectl('get --raw /metrics'))).toEqual([]);
  });

  test.each(['cmdline', 'environ'] as const)('in /proc/*/%s', (file) => {
    expect(searchFiles(procFiles(file), foundIn)).toEqual([]);
  });
});
