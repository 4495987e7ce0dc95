import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKubelet } from '#agent/kubelet/kubelet.ts';
import { KUBELET_DEFAULTS } from '#agent/kubelet/kubelet-config.ts';
import { FakeProber, TEST_IMAGE } from '#agent/kubelet/testing/kubelet-rig.ts';
import { type ConfigMap, type Pod, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import {
  asCertificate,
  createSecuredServer,
  type SecuredServer,
} from '#controller/apiserver/testing/secured-server.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** The shortest that an API server gives. */
const LIFE_S = 600;
const TIMEOUT_MS = 60_000;

const clock = new FakeClock(Date.UTC(2027, 0, 1));
const host = new FakeHost();
const runtime = new FakeRuntime({ clock, images: [TEST_IMAGE] });
const stop = new AbortController();
let server: SecuredServer;

const admin = () => server.clientAs(asCertificate('admin', 'system:masters'));
const pods = () => admin().resource<Pod>(resources.pods);

beforeAll(async () => {
  server = await createSecuredServer({ clock });
  const namespace = 'default';
  await admin()
    .resource(resources.serviceAccounts)
    .create({ metadata: { name: 'default', namespace } });
  await admin()
    .resource<ConfigMap>(resources.configMaps)
    .create({ metadata: { name: 'kube-root-ca.crt', namespace }, data: { 'ca.crt': 'PEM' } });
  const kubelet = createKubelet({
    ...{ runtime, host, clock, prober: new FakeProber(), log: silentLogger, random: Math.random },
    client: server.clientAs(asCertificate('system:node:node-1', 'system:nodes')),
    config: {
      ...KUBELET_DEFAULTS,
      ...{ nodeName: 'node-1', nodeIps: ['192.168.1.10'], version: 'v1.36.0+test' },
      ledgerDir: '/var/lib/coracle/agent/ledger',
    },
  });
  await kubelet.start(stop.signal);
});
afterAll(() => {
  stop.abort();
  server?.stop();
});

/** The status of an answer to whoever has the token: 401 once it has ended. */
async function answerTo(token: string): Promise<number> {
  const body = JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' });
  const url = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const headers = { 'content-type': 'application/json' };
  return (await server.call({ method: 'POST', url, headers, body, token })).status;
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    readonly iat: number;
    readonly exp: number;
  };

test('a token that ends in ten minutes is another one in its file before that, and dies at its time', async () => {
  const source = { serviceAccountToken: { path: 'token', expirationSeconds: LIFE_S } };
  await pods().create({
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      nodeName: 'node-1',
      containers: [{ name: 'app', image: TEST_IMAGE, volumeMounts: [{ name: 'own', mountPath: '/own' }] }],
      volumes: [{ name: 'own', projected: { sources: [source] } }],
    },
  });
  const container = await waitUntil('the container runs', TIMEOUT_MS, () => {
    const found = runtime.findContainer('app');
    return found?.state === 'RUNNING' ? found : undefined;
  });
  const { mounts } = runtime.containers.get(container.id)!.config;
  const folder = mounts.find(({ containerPath }) => containerPath === '/own')!.hostPath;
  const read = () => host.fs.readText(`${folder}/..data/token`);

  let token = await read();
  for (let turn = 1; turn <= 3; turn++) {
    const { iat, exp } = claimsOf(token);
    expect(exp - iat).toBe(LIFE_S);
    const moveTo = (second: number) => clock.advance(iat * 1000 + second * 1000 - clock.now());
    await moveTo(0.75 * LIFE_S);
    expect(await read()).toBe(token);
    await moveTo(0.8 * LIFE_S);
    // Time stands still until it has happened.
    const next = await waitUntil(`token ${turn} is followed by another`, TIMEOUT_MS, async () => {
      const present = await read();
      return present === token ? undefined : present;
    });
    await moveTo(LIFE_S - 1);
    expect([await answerTo(token), await answerTo(next)]).toEqual([201, 201]);
    await moveTo(LIFE_S + 1);
    expect([await answerTo(token), await answerTo(next)]).toEqual([401, 201]);
    expect(await read()).toBe(next);
    token = next;
  }
  // All of that without a word to the container.
  expect(runtime.findContainer('app')).toMatchObject({ id: container.id, state: 'RUNNING' });

  await pods().delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 0 });
  expect(await answerTo(token)).toBe(401);
});
