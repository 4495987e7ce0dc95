import { readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#api/object/json.ts';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import {
  type FakeExtensionServer,
  startExtensionServer,
} from '#controller/apiserver/aggregator/testing/fake-extension-server.ts';
import { type FakeWebhook, startFakeWebhook } from '#controller/apiserver/webhooks/testing/fake-webhook.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** Endpoints may not be on the loopback, so the servers of this test stand on an address of the host. */
const address = Object.values(networkInterfaces())
  .flatMap((entries) => entries ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
if (address === undefined) console.warn('extension points: skipped, this host has no address but the loopback');

let controller: ControllerProcess;
let kubeconfig: string;
let hook: FakeWebhook;
let remote: FakeExtensionServer;

const serviceAt = (name: string, port: number) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default }
spec: { ports: [{ name: https, port: 443 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, namespace: default, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
endpoints: [{ addresses: [${address}], conditions: { ready: true } }]
ports: [{ name: https, port: ${port} }]
`;

const RULES = '[{ operations: [CREATE, UPDATE, DELETE], apiGroups: [""], apiVersions: [v1], resources: [configmaps] }]';
const webhooks = () => `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: test }
webhooks:
- name: label.example.com
  clientConfig: { service: { namespace: default, name: hook, path: /label }, caBundle: ${hook.caBundle} }
  rules: ${RULES}
  namespaceSelector: { matchLabels: { hooks: "on" } }
  matchConditions: [{ name: wanted, expression: 'object == null || !object.metadata.name.startsWith("plain")' }]
  sideEffects: None
  admissionReviewVersions: [v1]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: test }
webhooks:
- name: deny.example.com
  clientConfig: { url: "https://127.0.0.1:${hook.port}/deny", caBundle: ${hook.caBundle} }
  rules: ${RULES}
  namespaceSelector: { matchLabels: { hooks: "on" } }
  sideEffects: NoneOnDryRun
  admissionReviewVersions: [v1]
`;

/** Labels everything; denies what is named `forbidden`. */
function answer({ url, body }: { readonly url: string; readonly body: JsonObject }) {
  const { uid, name, object } = body.request as JsonObject;
  const patch = JSON.stringify([{ op: 'add', path: '/metadata/labels', value: { seen: 'yes' } }]);
  const label = object === null ? {} : { patchType: 'JSONPatch', patch: Buffer.from(patch).toString('base64') };
  const denial = { allowed: false, status: { code: 403, message: 'nobody makes this' } };
  const verdict = url.startsWith('/label') ? label : name === 'forbidden' ? denial : {};
  const response = { uid, allowed: true, ...verdict };
  return { body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response } };
}

const run = (args: readonly string[], stdin = '') => runKubectl(args, { kubeconfig, stdin, timeoutMs: 30_000 });
async function ok(args: readonly string[], stdin = ''): Promise<string> {
  const { code, stdout, stderr } = await run(args, stdin);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${code}: ${stdout}${stderr}`);
  return stdout;
}

describe.skipIf(address === undefined)('extension points, with kubectl', () => {
  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    kubeconfig = join(controller.folder, 'loopback.kubeconfig');
    const text = readFileSync(controller.kubeconfig, 'utf8');
    writeFileSync(kubeconfig, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
    hook = await startFakeWebhook(answer, '0.0.0.0');
    await ok(['create', 'namespace', 'a']);
    await ok(['label', 'namespace', 'a', 'hooks=on']);
    await ok(['apply', '-f', '-'], serviceAt('hook', hook.port));
    await ok(['apply', '-f', '-'], webhooks());
  }, 240_000);
  afterAll(async () => {
    await hook?.close();
    await remote?.close();
    await controller?.stop();
  });

  it('webhooks change and refuse what kubectl sends, over TLS', async () => {
    await ok(['-n', 'a', 'create', 'configmap', 'fine', '--from-literal=k=v']);
    expect(await ok(['-n', 'a', 'get', 'configmap', 'fine', '-o', 'jsonpath={.metadata.labels.seen}'])).toBe('yes');
    const { stderr } = await run(['-n', 'a', 'create', 'configmap', 'forbidden']);
    expect(stderr).toMatch(/admission webhook "deny.example.com" denied the request: nobody makes this/);
    const before = hook.calls.length;
    await ok(['create', 'configmap', 'forbidden', '--from-literal=k=v']);
    expect(hook.calls.length).toBe(before);
  });

  it('webhooks are asked where their conditions hold', async () => {
    await ok(['-n', 'a', 'create', 'configmap', 'plain']);
    expect(await ok(['-n', 'a', 'get', 'configmap', 'plain', '-o', 'jsonpath={.metadata.labels}'])).toBe('');
    await ok(['-n', 'a', 'delete', 'configmap', 'plain']);
    expect(hook.calls.at(-1)?.body.request).toMatchObject({ operation: 'DELETE', name: 'plain', object: null });
  });

  it('webhooks take part in dry runs', async () => {
    await ok(['-n', 'a', 'create', 'configmap', 'dry', '--dry-run=server']);
    expect(hook.calls.at(-1)?.body.request).toMatchObject({ name: 'dry', dryRun: true });
    expect((await run(['-n', 'a', 'get', 'configmap', 'dry'])).stderr).toContain('NotFound');
  });

  it('webhooks that cannot be reached fail what they were to judge, and can be taken away', async () => {
    await ok(
      ['apply', '-f', '-'],
      webhooks().replaceAll('name: test', 'name: lost').replaceAll('name: hook,', 'name: nobody,'),
    );
    const { stderr } = await run(['-n', 'a', 'create', 'configmap', 'late']);
    expect(stderr).toContain(
      'Internal error occurred: failed calling webhook "label.example.com": failed to call webhook: ' +
        'Post "https://nobody.default.svc:443/label?timeout=10s": service "nobody" not found',
    );
    await ok(['delete', 'mutatingwebhookconfiguration', 'lost']);
    await ok(['-n', 'a', 'create', 'configmap', 'late']);
  });

  it('an APIService is served by its own server', async () => {
    const name = 'extension-apiserver-authentication';
    const shared = await controller.client.resource<ConfigMap>(resources.configMaps).fetch(name, 'kube-system');
    remote = await startExtensionServer({
      address: '0.0.0.0',
      frontProxyCa: shared.data?.['requestheader-client-ca-file'] ?? '',
    });
    await ok(['apply', '-f', '-'], serviceAt('widgets', remote.port));
    await ok(
      ['apply', '-f', '-'],
      `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1.example.com }
spec:
  { group: example.com, version: v1, groupPriorityMinimum: 1000, versionPriority: 15,
    service: { name: widgets, namespace: default }, caBundle: ${remote.caBundle} }
`,
    );
    await ok(['wait', '--for=condition=Available', 'apiservice/v1.example.com', '--timeout=150s']);
    await waitUntil('discovery of the widgets', 20_000, async () => (await ok(['api-resources'])).includes('widgets'));
    expect(await ok(['get', 'widgets', '--as=ann', '--as-group=system:masters'])).toMatch(/^NAME\s+AGE\na /);
    expect(remote.seen.at(-1)).toMatchObject({
      client: 'front-proxy-client',
      headers: { 'x-remote-user': 'ann', 'x-remote-group': 'system:masters, system:authenticated' },
    });
    expect(await ok(['get', 'w', 'a', '-o', 'jsonpath={.kind}'])).toBe('Widget');
  });

  it('an upgraded connection leads to the server of its APIService', async () => {
    const { hostname, port } = new URL(controller.access.server);
    const { ca, cert, key } = controller.access;
    const socket = connect({ host: hostname, port: Number(port), ca, cert, key, ALPNProtocols: ['http/1.1'] });
    const path = '/apis/example.com/v1/namespaces/default/widgets/a/talk';
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`);
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
      if (received.endsWith('\r\n\r\n')) socket.write('hello');
    });
    await waitUntil('the echo', 10_000, () => received.endsWith('hello'));
    expect(received).toMatch(/^HTTP\/1.1 101 Switching Protocols\r\n/);
    socket.destroy();
  });

  it('a server that is gone makes its own group unavailable, and no other', async () => {
    await remote.close();
    const { stderr } = await run(['get', '--raw', '/apis/example.com/v1/namespaces/default/widgets']);
    expect(stderr).toMatch(
      /^Error from server \(ServiceUnavailable\): (error trying to reach service: dial tcp|service unavailable)/,
    );
    await ok(['get', 'configmaps', '-A']);
    await waitUntil('the condition', 60_000, async () =>
      (await ok(['get', 'apiservice', 'v1.example.com', '--no-headers'])).includes('False (FailedDiscoveryCheck)'),
    );
  }, 240_000);

  it('a webhook that is down keeps nobody from starting, and from taking it away', async () => {
    const everything = '[{ operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] }]';
    const broken = webhooks()
      .replaceAll('name: test', 'name: broken')
      .replaceAll(RULES, everything)
      .replaceAll(/ {2}namespaceSelector.*\n/g, '')
      .replace(`127.0.0.1:${hook.port}`, '127.0.0.1:1');
    await ok(['apply', '-f', '-'], broken);
    expect((await run(['create', 'namespace', 'b'])).stderr).toContain('failed calling webhook');
    await controller.restart();
    await ok(['delete', 'mutatingwebhookconfiguration,validatingwebhookconfiguration', 'broken']);
    await ok(['create', 'namespace', 'b']);
  }, 240_000);
});
