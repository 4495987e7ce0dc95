import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KubeconfigAccess, parseKubeconfig } from '#api/client/kubeconfig.ts';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import { runCaCommand } from '#controller/ca-command.ts';
import { runKubeconfigCommand } from '#controller/kubeconfig-command.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** The controller looks at its keys every 20 s; a machine that does much else takes longer. */
const NOTICED_MS = 90_000;
/** A load, not a flood: what is asked is whether anything fails. */
const PAUSE_MS = 5;

let controller: ControllerProcess;
let port = 0;
let dataDir = '';

beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true });
  port = Number(new URL(controller.access.server).port);
  dataDir = join(controller.folder, 'data');
});
afterAll(() => controller?.stop());

type Credentials = Pick<KubeconfigAccess, 'ca' | 'cert' | 'key'>;

function ask(credentials: Credentials, agent: Agent | false = false, method = 'GET', body?: object): Promise<number> {
  const { ca, cert, key } = credentials;
  return new Promise((resolve, reject) => {
    const path = '/api/v1/namespaces/default/configmaps';
    const headers = { 'content-type': 'application/json' };
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent, ca, cert, key }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The leaf that is served now, whoever signed it. */
const servedLeaf = (): Promise<X509Certificate> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw));
      socket.destroy();
    });
    socket.once('error', reject);
  });

const rootsOf = (pem: string) => pem.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----\n/g) ?? [];
const adminNow = (): Credentials => parseKubeconfig(readFileSync(controller.kubeconfig, 'utf8'));

/** Reads and writes on one connection and on ever new ones, until stopped; answers how many failed. */
function startLoad(credentials: Credentials) {
  const kept = new Agent({ keepAlive: true, maxSockets: 2 });
  const failures: string[] = [];
  let [count, isStopped] = [0, false];
  const run = async (agent: Agent | false, writes: boolean) => {
    while (!isStopped) {
      const name = `load-${agent === false ? 'new' : 'kept'}-${count++}`;
      const body = writes ? { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } } : undefined;
      const status = await ask(credentials, agent, writes ? 'POST' : 'GET', body).catch((err: Error) => err.message);
      if (status !== 200 && status !== 201) failures.push(`${name}: ${status}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const ended = Promise.all([run(kept, true), run(kept, false), run(false, false)]);
  return {
    async stop() {
      isStopped = true;
      await ended;
      kept.destroy();
      return { count, failures };
    },
  };
}

test('another CA takes over under load, and the one before is let go', async () => {
  const old = adminNow();
  const oldRoot = new X509Certificate(old.ca!);
  const load = startLoad(old);
  await runCaCommand(['rotate'], dataDir);
  await waitUntil('the other CA to serve', NOTICED_MS, async () => !(await servedLeaf()).verify(oldRoot.publicKey));

  // Whoever knows the old CA alone finds the way to the new one; whoever knows the new one alone needs no old one.
  expect(await ask(old)).toBe(200);
  await waitUntil('the kubeconfig', NOTICED_MS, async () => rootsOf(adminNow().ca!).length === 2);
  const both = adminNow();
  const [newRoot = ''] = rootsOf(both.ca!);
  expect(newRoot).not.toBe(old.ca);
  expect(await ask({ ...both, ca: newRoot })).toBe(200);

  const configMaps = controller.client.resource<ConfigMap>(resources.configMaps);
  await waitUntil('the CA of pods', NOTICED_MS, async () => {
    const published = await configMaps.fetch('kube-root-ca.crt', 'default');
    return published.data?.['ca.crt'] === both.ca;
  });
  expect(await runCaCommand(['show'], dataDir)).toMatch(/^signs .*\ntrusted /);
  await expect(runCaCommand(['rotate'], dataDir)).rejects.toThrow('still trusted');

  const { count, failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(count).toBeGreaterThan(100);

  // New certificates are the new CA's.
  const reachable = join(controller.folder, 'reachable.kubeconfig');
  const text = readFileSync(controller.kubeconfig, 'utf8').replace(/server: .*/, `server: ${controller.access.server}`);
  await import('node:fs/promises').then(({ writeFile }) => writeFile(reachable, text, { mode: 0o600 }));
  const ann = parseKubeconfig(await runKubeconfigCommand({ argv: ['--user', 'ann'], kubeconfigPath: reachable }));
  expect(new X509Certificate(ann.cert!).verify(new X509Certificate(newRoot).publicKey)).toBe(true);

  await runCaCommand(['retire'], dataDir);
  const isRefused = async () => (await ask({ ...old, ca: both.ca }).catch(() => 0)) !== 200;
  await waitUntil('the old certificates to count no more', NOTICED_MS, isRefused);
  expect(await ask(adminNow())).toBe(200);
  expect(rootsOf(adminNow().ca!)).toEqual([newRoot]);
  expect(await ask({ ...ann, ca: newRoot })).toBe(403);
}, 400_000);
