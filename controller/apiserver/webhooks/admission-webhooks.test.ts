import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#api/object/json.ts';
import { silentLogger } from '#base/logger.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import { builtinResources } from '../resources/builtin-resources.ts';
import { createTestServer, type TestServer } from '../server/testing/test-server.ts';
import { type AdmissionWebhooks, createAdmissionWebhooks } from './admission-webhooks.ts';
import { type FakeWebhook, type SeenCall, startFakeWebhook } from './testing/fake-webhook.ts';
import { createWebhookClient } from './webhook-client.ts';

type Answer = JsonObject;
type Asked = JsonObject & { readonly object?: JsonObject & { metadata: JsonObject } };

/** What the fake answers, by the path of the webhook that asks. */
let answers: Record<string, (request: Asked) => Answer | number>;
let hook: FakeWebhook;
let api: TestServer;
let webhooks: AdmissionWebhooks;

beforeAll(async () => {
  hook = await startFakeWebhook((call) => {
    const request = call.body.request as Asked;
    const answer = answers[pathOf(call)]?.(request) ?? {};
    if (typeof answer === 'number') return { status: answer, body: 'broken' };
    const response = { uid: request.uid, allowed: true, ...answer };
    return { body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response } };
  });
  return () => hook.close();
});

function start(): void {
  answers = {};
  hook.calls.length = 0;
  api = createTestServer({
    definitions: builtinResources({
      podSubresources: [
        {
          name: 'exec',
          verbs: ['create', 'get'],
          kind: { group: '', version: 'v1', kind: 'PodExecOptions' },
          connects: true,
          handle: async ({ response }) => response.send(200, {}, new TextEncoder().encode('{}')),
        },
      ],
      nodeSubresources: [],
      serviceSubresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
    }),
    admission: ({ store, clock }) => {
      const client = createWebhookClient({ dialer: hook.dialer, clock });
      webhooks = createAdmissionWebhooks({ store, client, clock, log: silentLogger, newUid: () => 'review-uid' });
      return [webhooks.mutating, webhooks.validating];
    },
  });
}

afterEach(() => webhooks.stop());

const pathOf = ({ url }: SeenCall) => url.split('?')[0]!.slice(1);
const asked = () => hook.calls.map(pathOf);
const lastRequest = () => hook.calls.at(-1)?.body.request as Asked & Record<string, unknown>;

const CONFIGMAPS = '/api/v1/namespaces/n/configmaps';
const EVERYTHING = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] };

interface Wish {
  readonly path: string;
  readonly name?: string;
  readonly url?: string;
  readonly [field: string]: unknown;
}

const webhook = ({ path, ...rest }: Wish) => ({
  name: `${path}.example.com`,
  clientConfig: { url: `https://127.0.0.1:${hook.port}/${path}`, caBundle: hook.caBundle },
  rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  ...rest,
});

async function configure(kind: 'Mutating' | 'Validating', name: string, ...wishes: readonly Wish[]): Promise<void> {
  await api.expect(201, 'POST', `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}webhookconfigurations`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}WebhookConfiguration`,
    metadata: { name },
    webhooks: wishes.map(webhook),
  });
}

const patch = (...operations: object[]): Answer => ({
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});
const setData = (key: string, value: string) => () => patch({ op: 'add', path: '/data', value: { [key]: value } });
const configMap = (name: string, data: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, labels: { app: 'x' } },
  data: { given: 'y', ...data },
});

describe('admission webhooks', () => {
  it('cannot put integers into custom objects that would become others', async () => {
    start();
    const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    await api.expect(201, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'boxes.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Cluster',
        names: { plural: 'boxes', kind: 'Box' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: anything } }],
      },
    });
    await expect.poll(async () => (await api.call('GET', '/apis/example.com/v1')).status).toBe(200);
    const rules = [{ operations: ['*'], apiGroups: ['example.com'], apiVersions: ['*'], resources: ['*'] }];
    await configure('Mutating', 'm', { path: 'm', rules });
    const text = '[{"op":"add","path":"/spec","value":{"n":9007199254740993}}]';
    answers.m = () => ({ patchType: 'JSONPatch', patch: Buffer.from(text).toString('base64') });
    const box = { apiVersion: 'example.com/v1', kind: 'Box', metadata: { name: 'a' } };
    const refused = await api.expect(500, 'POST', '/apis/example.com/v1/boxes', box);
    expect(refused.message).toContain('[0].value.n: the number 9007199254740993 cannot be kept exactly');
  });

  it('show a creation as an AdmissionReview', async () => {
    start();
    await configure('Validating', 'v', { path: 'v' });
    await api.expect(201, 'POST', `${CONFIGMAPS}?fieldManager=me`, configMap('a'));
    expect(hook.calls[0]?.body).toMatchObject({
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid: 'review-uid',
        kind: { group: '', version: 'v1', kind: 'ConfigMap' },
        resource: { group: '', version: 'v1', resource: 'configmaps' },
        requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
        requestResource: { group: '', version: 'v1', resource: 'configmaps' },
        name: 'a',
        namespace: 'n',
        operation: 'CREATE',
        userInfo: { username: 'system:anonymous', groups: ['system:unauthenticated'] },
        object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'n' }, data: { given: 'y' } },
        oldObject: null,
        dryRun: false,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', fieldManager: 'me' },
      },
    });
  });

  it('see updates, patches and deletions with both states', async () => {
    start();
    const created = await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    await configure('Validating', 'v', { path: 'v' });
    await api.expect(200, 'PUT', `${CONFIGMAPS}/a`, configMap('a', { given: 'z' }));
    expect(lastRequest()).toMatchObject({
      operation: 'UPDATE',
      object: { data: { given: 'z' }, metadata: { resourceVersion: created.metadata.resourceVersion } },
      oldObject: { data: { given: 'y' }, metadata: { uid: created.metadata.uid } },
    });
    const type = { 'content-type': 'application/merge-patch+json' };
    expect((await api.call('PATCH', `${CONFIGMAPS}/a`, JSON.stringify({ data: { given: 'p' } }), type)).status).toBe(
      200,
    );
    expect(lastRequest()).toMatchObject({ operation: 'UPDATE', object: { data: { given: 'p' } } });
    await api.expect(200, 'DELETE', `${CONFIGMAPS}/a`, {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy: 'Background',
    });
    expect(lastRequest()).toMatchObject({
      operation: 'DELETE',
      object: null,
      oldObject: { data: { given: 'p' } },
      options: { kind: 'DeleteOptions', propagationPolicy: 'Background' },
    });
  });

  it('refuse in their own words', async () => {
    start();
    await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    await configure('Validating', 'v', { path: 'v' });
    answers.v = () => ({ allowed: false, status: { message: 'not here', code: 403, reason: 'Forbidden' } });
    for (const [method, url] of [
      ['POST', CONFIGMAPS],
      ['PUT', `${CONFIGMAPS}/a`],
      ['DELETE', `${CONFIGMAPS}/a`],
      ['DELETE', CONFIGMAPS],
    ] as const) {
      const status = await api.expect(403, method, url, method === 'DELETE' ? undefined : configMap('a', { new: '1' }));
      expect(status).toMatchObject({
        message: 'admission webhook "v.example.com" denied the request: not here',
        reason: 'Forbidden',
      });
    }
    answers.v = () => ({ allowed: false });
    const status = await api.expect(400, 'POST', CONFIGMAPS, configMap('b'));
    expect(status.message).toBe('admission webhook "v.example.com" denied the request without explanation');
  });

  it('change what is stored, one after the other, by name of the configuration and then by place', async () => {
    start();
    await configure('Mutating', 'b', { path: 'third' });
    await configure('Mutating', 'a', { path: 'first' }, { path: 'second' });
    answers.first = setData('who', 'first');
    answers.third = ({ object }) =>
      patch({ op: 'add', path: '/metadata/annotations', value: { saw: JSON.stringify(object?.data) } });
    const made = await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    expect(asked()).toEqual(['first', 'second', 'third']);
    expect(made).toMatchObject({ data: { who: 'first' }, metadata: { annotations: { saw: '{"who":"first"}' } } });
    expect(await api.expect(200, 'GET', `${CONFIGMAPS}/a`)).toMatchObject({ data: { who: 'first' } });
  });

  it('change updates, and cannot move an object', async () => {
    start();
    const { metadata } = await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    await configure('Mutating', 'm', { path: 'm' });
    answers.m = () =>
      patch(
        { op: 'replace', path: '/data/given', value: 'm' },
        { op: 'replace', path: '/metadata/uid', value: 'other' },
      );
    const updated = await api.expect(200, 'PUT', `${CONFIGMAPS}/a`, configMap('a'));
    expect(updated).toMatchObject({ data: { given: 'm' }, metadata: { uid: metadata.uid } });
  });

  it.each([
    ['another kind', { op: 'replace', path: '/kind', value: 'Secret' }, 500, 'may not become a Secret'],
    [
      'another namespace',
      { op: 'replace', path: '/metadata/namespace', value: 'o' },
      400,
      'does not match the namespace',
    ],
    ['no object', { op: 'replace', path: '/metadata', value: 7 }, 500, 'Internal error occurred: '],
    ['nothing that is there', { op: 'remove', path: '/data/none' }, 500, 'Internal error occurred: '],
  ])('cannot make it %s', async (_, operation, code, message) => {
    start();
    await configure('Mutating', 'm', { path: 'm' });
    answers.m = () => patch(operation);
    const status = await api.expect(code, 'POST', CONFIGMAPS, configMap('a'));
    expect(status.message).toContain(message);
    await api.expect(404, 'GET', `${CONFIGMAPS}/a`);
  });

  it('see a generated name only where they validate, and change the object once for all names that are drawn', async () => {
    start();
    await configure('Mutating', 'm', { path: 'm' });
    await configure('Validating', 'v', { path: 'v' });
    answers.m = ({ object, name }) =>
      patch({ op: 'add', path: '/data/seen', value: `${name ?? ''}|${object?.metadata.name ?? ''}` });
    const drawn = { ...configMap(''), metadata: { generateName: 'x-' } };
    const made = await api.expect(201, 'POST', CONFIGMAPS, drawn);
    expect(made).toMatchObject({ data: { seen: '|' }, metadata: { name: expect.stringMatching(/^x-.{5}$/) } });
    expect(asked()).toEqual(['m', 'v']);
    expect(lastRequest()).toMatchObject({
      name: made.metadata.name,
      object: { metadata: { name: made.metadata.name } },
    });
  });

  it('are asked again when the object changed behind them, those that may be', async () => {
    start();
    const again = { reinvocationPolicy: 'IfNeeded' };
    await configure('Mutating', 'm', { path: 'again', ...again }, { path: 'once' }, { path: 'last', ...again });
    let round = 0;
    answers.once = () => patch({ op: 'add', path: '/data/once', value: String(++round) });
    await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    expect(asked()).toEqual(['again', 'once', 'last', 'again']);
  });

  it.each([
    ['a broken one that may be ignored', 'Ignore', 201],
    ['a broken one that may not', 'Fail', 500],
  ])('let failurePolicy decide over %s', async (_, failurePolicy, code) => {
    start();
    await configure('Mutating', 'm', { path: 'm', failurePolicy });
    answers.m = () => 500;
    const answer = await api.expect(code, 'POST', CONFIGMAPS, configMap('a'));
    if (code === 201) return;
    const why = 'an error on the server ("broken") has prevented the request from succeeding';
    expect(answer.message).toBe(
      `Internal error occurred: failed calling webhook "m.example.com": failed to call webhook: ${why}`,
    );
  });

  it('tell once why nobody could be asked', async () => {
    start();
    await configure('Validating', 'v', { path: 'v', clientConfig: { url: 'https://127.0.0.1:1/v' } });
    const { message } = await api.expect(500, 'POST', CONFIGMAPS, configMap('a'));
    expect(message).toMatch(/: Post "[^"]+": dial tcp 127.0.0.1:1: connect: connection refused$/);
  });

  it('must answer the question that was asked', async () => {
    start();
    await configure('Validating', 'v', { path: 'v' });
    answers.v = () => ({ uid: 'another' });
    const { message } = await api.expect(500, 'POST', CONFIGMAPS, configMap('a'));
    expect(message).toBe(
      'Internal error occurred: failed calling webhook "v.example.com": received invalid webhook response: ' +
        'expected response.uid="review-uid", got "another"',
    );
  });

  it('take part in dry runs where that does no harm', async () => {
    start();
    await configure('Mutating', 'm', { path: 'm' });
    answers.m = setData('dry', 'run');
    const made = await api.expect(201, 'POST', `${CONFIGMAPS}?dryRun=All`, configMap('a'));
    expect(made.data).toEqual({ dry: 'run' });
    expect(lastRequest()).toMatchObject({ dryRun: true, options: { dryRun: ['All'] } });
    await api.expect(404, 'GET', `${CONFIGMAPS}/a`);
  });

  it('of old with side effects refuse dry runs', async () => {
    start();
    await configure('Mutating', 'm', { path: 'm' });
    const key = '/registry/mutatingwebhookconfigurations/m';
    const object = structuredClone(api.store.snapshot().get(key)?.object()) as { webhooks: JsonObject[] };
    object.webhooks[0]!.sideEffects = 'Some';
    const value = {
      bytes: Buffer.from(JSON.stringify(object)),
      labels: {},
      fields: {},
      durability: 'durable' as const,
    };
    await api.store.write(key, () => ({ kind: 'put', value }));
    const { message } = await api.expect(400, 'POST', `${CONFIGMAPS}?dryRun=All`, configMap('a'));
    expect(message).toBe('admission webhook "m.example.com" does not support dry run');
    expect(asked()).toEqual([]);
  });

  it('send warnings to the client', async () => {
    start();
    await configure('Validating', 'v', { path: 'v' });
    answers.v = () => ({ warnings: ['mind the gap'] });
    const response = await api.call('POST', CONFIGMAPS, configMap('a'));
    expect(response.headers.warning).toEqual(['299 - "mind the gap"']);
  });

  it.each<[string, Partial<Wish>, string[]]>([
    ['labels of the object', { objectSelector: { matchLabels: { app: 'x' } } }, ['v']],
    ['other labels of the object', { objectSelector: { matchLabels: { app: 'y' } } }, []],
    ['labels of the namespace', { namespaceSelector: { matchLabels: { team: 'a' } } }, ['v']],
    ['other labels of the namespace', { namespaceSelector: { matchLabels: { team: 'b' } } }, []],
  ])('are chosen by %s', async (_, wish, expected) => {
    start();
    await api.expect(201, 'POST', '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'n', labels: { team: 'a' } },
    });
    await configure('Validating', 'v', { path: 'v', ...wish });
    await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    expect(asked()).toEqual(expected);
  });

  it('are never asked about themselves', async () => {
    start();
    await configure('Validating', 'v', { path: 'v', rules: [EVERYTHING] });
    answers.v = () => ({ allowed: false });
    await configure('Mutating', 'm', { path: 'm', rules: [EVERYTHING] });
    await api.expect(200, 'DELETE', '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v');
    expect(asked()).toEqual([]);
  });

  it('see the Scale of a scale, and may change it', async () => {
    start();
    const deployments = '/apis/apps/v1/namespaces/n/deployments';
    const labels = { app: 'x' };
    await api.expect(201, 'POST', deployments, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    });
    await configure('Mutating', 'm', { path: 'm', rules: [{ ...EVERYTHING, resources: ['deployments/scale'] }] });
    answers.m = () => patch({ op: 'replace', path: '/spec/replicas', value: 3 });
    const type = { 'content-type': 'application/merge-patch+json' };
    const scaled = await api.call('PATCH', `${deployments}/d/scale`, JSON.stringify({ spec: { replicas: 2 } }), type);
    expect(await scaled.json()).toMatchObject({ kind: 'Scale', spec: { replicas: 3 } });
    expect(lastRequest()).toMatchObject({
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      subResource: 'scale',
      object: { kind: 'Scale', spec: { replicas: 2 } },
      oldObject: { kind: 'Scale', spec: { replicas: 1 } },
    });
    expect((await api.expect(200, 'GET', `${deployments}/d`)).spec.replicas).toBe(3);
  });

  it.each([
    ['pods/p/eviction', 'policy/v1', 'Eviction'],
    ['pods/p/binding', 'v1', 'Binding'],
    ['serviceaccounts/p/token', 'authentication.k8s.io/v1', 'TokenRequest'],
  ])('see what is posted to %s', async (path, apiVersion, kind) => {
    start();
    const [resource, , subresource] = path.split('/');
    await configure('Validating', 'v', {
      path: 'v',
      rules: [{ ...EVERYTHING, resources: [`${resource}/${subresource}`] }],
    });
    answers.v = () => ({ allowed: false, status: { code: 403 } });
    const target = { apiVersion: 'v1', kind: 'Node', name: 'n1' };
    const body = { apiVersion, kind, metadata: { name: 'p' }, ...(kind === 'Binding' ? { target } : {}) };
    await api.expect(403, 'POST', `/api/v1/namespaces/n/${path}`, body);
    expect(lastRequest()).toMatchObject({
      operation: 'CREATE',
      kind: { kind },
      resource: { resource },
      subResource: subresource,
      name: 'p',
      object: { apiVersion, kind },
    });
  });

  it('see an exec as a CONNECT', async () => {
    start();
    await configure('Validating', 'v', {
      path: 'v',
      rules: [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/exec'] }],
    });
    await api.call('POST', '/api/v1/namespaces/n/pods/p/exec?command=ls&command=-l&stdout=true');
    expect(lastRequest()).toMatchObject({
      operation: 'CONNECT',
      name: 'p',
      kind: { kind: 'PodExecOptions' },
      object: { kind: 'PodExecOptions', command: ['ls', '-l'], stdout: true },
      options: null,
    });
    answers.v = () => ({ allowed: false, status: { message: 'no shells' } });
    const refused = await api.call('POST', '/api/v1/namespaces/n/pods/p/exec?command=sh');
    expect(await refused.json()).toMatchObject({
      message: 'admission webhook "v.example.com" denied the request: no shells',
    });
  });

  it('see another face of the object where their rules name that', async () => {
    start();
    const events = { operations: ['CREATE'], apiGroups: ['events.k8s.io'], apiVersions: ['v1'], resources: ['events'] };
    await configure(
      'Validating',
      'v',
      { path: 'v', rules: [events] },
      { path: 'exact', rules: [events], matchPolicy: 'Exact' },
    );
    await api.expect(201, 'POST', '/api/v1/namespaces/n/events', {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', name: 'p', namespace: 'n' },
      message: 'hello',
    });
    expect(asked()).toEqual(['v']);
    expect(lastRequest()).toMatchObject({
      kind: { group: 'events.k8s.io', kind: 'Event' },
      requestKind: { group: '', kind: 'Event' },
      object: { apiVersion: 'events.k8s.io/v1', note: 'hello' },
    });
  });

  it('see and change custom kinds, in the version that their rules name', async () => {
    start();
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    const version = (name: string, storage: boolean) => ({ name, served: true, storage, schema });
    await api.expect(201, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'widgets', kind: 'Widget', singular: 'widget', listKind: 'WidgetList' },
        versions: [version('v1', true), version('v2', false)],
      },
    });
    const widgets = '/apis/example.com/v1/namespaces/n/widgets';
    await expect.poll(async () => (await api.call('GET', widgets)).status).toBe(200);
    const rules = [{ operations: ['*'], apiGroups: ['example.com'], apiVersions: ['v2'], resources: ['widgets'] }];
    await configure('Mutating', 'm', { path: 'm', rules });
    answers.m = () => patch({ op: 'add', path: '/size', value: 7 });
    const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, colour: 'red' };
    const made = await api.expect(201, 'POST', widgets, widget);
    expect(made).toMatchObject({ apiVersion: 'example.com/v1', colour: 'red', size: 7 });
    expect(lastRequest()).toMatchObject({
      kind: { group: 'example.com', version: 'v2', kind: 'Widget' },
      requestKind: { version: 'v1' },
      object: { apiVersion: 'example.com/v2', colour: 'red' },
    });
  });

  it('count their calls', async () => {
    start();
    await configure('Validating', 'v', { path: 'v' });
    answers.v = () => ({ allowed: false });
    await api.expect(400, 'POST', CONFIGMAPS, configMap('a'));
    expect(webhooks.metrics()).toContain(
      'apiserver_admission_webhook_rejection_count{name="v.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="400"} 1',
    );
  });

  it('see what others wrote while they were thinking', async () => {
    start();
    await api.expect(201, 'POST', CONFIGMAPS, configMap('a'));
    await configure('Mutating', 'm', { path: 'm' });
    // The first answer comes after somebody else's write, which no webhook sees as the rules mean updates of `b` alone.
    let first = true;
    const seen: unknown[] = [];
    const original = webhooks.mutating.admit!;
    const intrude = async (request: AdmissionRequest) => {
      await original(request);
      seen.push(request.oldObject?.data);
      if (!first) return;
      first = false;
      webhooks.mutating.admit = undefined as never;
      await api.expect(200, 'PUT', `${CONFIGMAPS}/a`, configMap('a', { intruder: '1' }));
      webhooks.mutating.admit = intrude;
    };
    webhooks.mutating.admit = intrude;
    const type = { 'content-type': 'application/merge-patch+json' };
    const patched = await api.call('PATCH', `${CONFIGMAPS}/a`, JSON.stringify({ data: { mine: '2' } }), type);
    expect(await patched.json()).toMatchObject({ data: { given: 'y', intruder: '1', mine: '2' } });
    expect(seen).toEqual([{ given: 'y' }, { given: 'y', intruder: '1' }]);
  });
});
