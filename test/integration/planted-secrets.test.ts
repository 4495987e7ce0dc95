import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateBootstrapToken } from '#controller/apiserver/authenticate/bootstrap-token.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

/**
 * Values that nobody but their users should see are planted in every way in which they come to a controller, also in requests that fail;
 * then everything that it keeps or shows is searched for them, in each spelling in which they could have got there.
 */
const planted = {
  secret: `plant-${randomBytes(12).toString('hex')}`,
  replaced: `plant-${randomBytes(12).toString('hex')}`,
  patched: `plant-${randomBytes(12).toString('hex')}`,
  refused: `plant-${randomBytes(12).toString('hex')}`,
  malformed: `plant-${randomBytes(12).toString('hex')}`,
  bearer: `plant-${randomBytes(12).toString('hex')}`,
  query: `plant-${randomBytes(12).toString('hex')}`,
  passphrase: `plant-${randomBytes(12).toString('hex')}`,
  bootstrap: generateBootstrapToken(),
};

/** As it is, base64 at its three offsets, percent-encoded and as JSON writes it. */
function spellings(value: string): readonly string[] {
  const shifted = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(value)]).toString('base64');
    // The first and last characters hold bits of the neighbours.
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
  return [...new Set([value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), ...shifted])];
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

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
  // Requests that fail, whose errors are what people see.
  said += await kubectl('create -f - --validate=false', secret('c', planted.refused, { type: 'kubernetes.io/tls' }));
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
const wanted = Object.entries({ ...planted, bootstrap: secretOfToken }).map(([name, value]) => [name, value] as const);

/** What of the planted is in there, by name. */
const foundIn = (bytes: Buffer): readonly string[] =>
  wanted.filter(([, value]) => spellings(value).some((text) => bytes.includes(text))).map(([name]) => name);

describe('a value that is secret is not to be found', () => {
  test('at all, would it be there: the search finds what is not hidden', () => {
    const hidden = Buffer.from(`x${Buffer.from(`zz${planted.secret}`).toString('base64')}y`);
    expect(foundIn(hidden)).toEqual(['secret']);
    expect(foundIn(Buffer.from(encodeURIComponent(planted.query)))).toEqual(['query']);
  });

  test('in any file of the controller: state, WAL, snapshots, logs, audit log', () => {
    const files = filesBelow(controller.folder);
    expect(files.some((path) => path.endsWith('audit.log'))).toBe(true);
    expect(files.some((path) => path.endsWith('state.db'))).toBe(true);
    const found = files
      .map((path) => [path, foundIn(readFileSync(path))] as const)
      .filter(([, names]) => names.length > 0);
    expect(found).toEqual([]);
  });

  test('in a backup', async () => {
    const path = join(controller.folder, 'planted.backup');
    const env = { ...process.env, CORACLE_FROM_SOURCE: '1', CORACLE_BACKUP_PASSPHRASE: planted.passphrase };
    const program = join(import.meta.dirname, '..', '..', 'bin', 'coracle');
    const args = ['backup', path, '--data-dir', join(controller.folder, 'data')];
    await promisify(execFile)(program, args, { env, timeout: 50_000 });
    expect(foundIn(readFileSync(path))).toEqual([]);
  });

  test('in what people are told when a request fails', () => {
    expect(said).toContain('Unauthorized');
    expect(foundIn(Buffer.from(said))).toEqual([]);
  });

  test('in events', async () => {
    expect(foundIn(Buffer.from(await kubectl('get events -A -o yaml')))).toEqual([]);
  });

  test('in metrics', async () => {
    expect(foundIn(Buffer.from(await kubectl('get --raw /metrics')))).toEqual([]);
  });

  test.each(['cmdline', 'environ'])('in /proc/*/%s', (file) => {
    const found = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => {
        try {
          return foundIn(readFileSync(`/proc/${pid}/${file}`));
        } catch {
          // Gone, or somebody else's.
          return [];
        }
      });
    expect(found).toEqual([]);
  });
});
