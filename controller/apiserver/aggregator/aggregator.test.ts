import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import type { Filter } from '../chain/request-context.ts';
import { builtinResources } from '../resources/builtin-resources.ts';
import { clientOf } from '../resources/testing/server-client.ts';
import { createTestServer, type TestServer } from '../server/testing/test-server.ts';
import { type Aggregator, createAggregator } from './aggregator.ts';
import { type FakeExtensionServer, startExtensionServer, WIDGETS } from './testing/fake-extension-server.ts';

let remote: FakeExtensionServer;
let api: TestServer;
let aggregator: Aggregator;
let stop: () => void;

const APISERVICES = '/apis/apiregistration.k8s.io/v1/apiservices';
const WIDGET_PATH = '/apis/example.com/v1/namespaces/n/widgets';

beforeAll(async () => {
  remote = await startExtensionServer();
  return () => remote.close();
});

const asAnn: Filter = {
  name: 'authenticate',
  run(context, next) {
    context.user = { name: 'ann', uid: '7', groups: ['dev', 'ops'], extra: { 'example.com/scopes': ['a', 'b'] } };
    return next();
  },
};

beforeEach(() => {
  remote.seen.length = 0;
  remote.documents = { '/apis/example.com/v1': WIDGETS };
  api = createTestServer({
    definitions: builtinResources({
      podSubresources: [],
      nodeSubresources: [],
      serviceSubresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
    }),
    filters: [asAnn],
    extend: ({ store, clock }) => {
      const certificate = () => remote.certificate;
      aggregator = createAggregator({ store, dialer: remote.dialer, clock, log: silentLogger, certificate });
      return { aggregator, discoverySources: [aggregator.discovery], openApiSources: [aggregator.openApi] };
    },
  });
  stop = aggregator.start(clientOf(api), api.server.catalog);
});
afterEach(() => {
  stop();
  aggregator.stop();
});

async function register(spec: object = {}): Promise<void> {
  await api.expect(201, 'POST', APISERVICES, {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: 'v1.example.com' },
    spec: {
      group: 'example.com',
      version: 'v1',
      groupPriorityMinimum: 2000,
      versionPriority: 10,
      service: { namespace: 'default', name: 'widgets', port: 443 },
      caBundle: remote.caBundle,
      ...spec,
    },
  });
}

async function createService(): Promise<void> {
  await api.expect(201, 'POST', '/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'widgets' },
    spec: { ports: [{ port: 443, name: 'https' }] },
  });
}

async function createSlice(): Promise<void> {
  await api.expect(201, 'POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'widgets-1', labels: { 'kubernetes.io/service-name': 'widgets' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.9'], conditions: { ready: true } }],
    ports: [{ name: 'https', port: 6443 }],
  });
}

/** The condition once it has this reason; time passes while we look. */
async function untilAvailable(reason: string): Promise<Record<string, string>> {
  return expect
    .poll(async () => {
      await api.clock.advance(200);
      const service = await api.expect(200, 'GET', `${APISERVICES}/v1.example.com`);
      return service.status?.conditions?.find(({ type }: { type: string }) => type === 'Available');
    })
    .toMatchObject({ reason }) as unknown as Promise<Record<string, string>>;
}

const condition = async () => (await api.expect(200, 'GET', `${APISERVICES}/v1.example.com`)).status.conditions[0];

async function ready(): Promise<void> {
  await createService();
  await createSlice();
  await register();
  await untilAvailable('Passed');
}

describe('the aggregator', () => {
  it('registers the groups of this server, as Kubernetes does', async () => {
    await expect.poll(async () => (await api.expect(200, 'GET', APISERVICES)).items.length).toBeGreaterThan(10);
    const apps = await api.expect(200, 'GET', `${APISERVICES}/v1.apps`);
    expect(apps).toMatchObject({
      metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'onstart' } },
      spec: { group: 'apps', version: 'v1', groupPriorityMinimum: 17_800, versionPriority: 15 },
      status: { conditions: [{ type: 'Available', status: 'True', reason: 'Local' }] },
    });
    expect((await api.expect(200, 'GET', `${APISERVICES}/v1.`)).spec.groupPriorityMinimum).toBe(18_000);
    await api.expect(404, 'GET', `${APISERVICES}/v1.apiregistration.k8s.io`);
  });

  it('registers a group again that somebody took away', async () => {
    const status = async () => (await api.call('GET', `${APISERVICES}/v1.apps`)).status;
    await expect.poll(status).toBe(200);
    await api.expect(200, 'DELETE', `${APISERVICES}/v1.apps`);
    await expect
      .poll(async () => {
        await api.clock.advance(500);
        return status();
      })
      .toBe(200);
  });

  it('says step by step what an APIService lacks', async () => {
    await register();
    await untilAvailable('ServiceNotFound');
    expect(await condition()).toMatchObject({
      status: 'False',
      message: 'service/widgets in "default" is not present',
    });
    await createService();
    await untilAvailable('EndpointsNotFound');
    await createSlice();
    await untilAvailable('Passed');
    expect(await condition()).toMatchObject({ status: 'True', message: 'all checks passed' });
    expect(remote.seen[0]).toMatchObject({
      url: '/apis/example.com/v1',
      client: 'front-proxy-client',
      headers: { 'x-remote-user': 'system:kube-aggregator', 'x-remote-group': 'system:masters' },
    });
  });

  it('tells of a server that fails its discovery', async () => {
    remote.documents = {};
    await createService();
    await createSlice();
    await register();
    await untilAvailable('FailedDiscoveryCheck');
    expect((await condition()).message).toMatch(
      /^failing or missing response from (\S+:443\/apis\/example.com\/v1): bad status from \1: 404$/,
    );
    const response = await api.call('GET', WIDGET_PATH);
    expect(await response.json()).toMatchObject({ code: 503, reason: 'ServiceUnavailable' });
    expect(aggregator.metrics()).toContain('aggregator_unavailable_apiservice{name="v1.example.com"} 1\n');
    await api.expect(200, 'GET', '/api/v1/namespaces/default/services');
  });

  it('passes requests on in the name of their user, without what the client claims to be', async () => {
    await ready();
    const headers = {
      'x-remote-user': 'admin',
      'x-remote-group': 'system:masters',
      'x-remote-extra-foo': 'x',
      authorization: 'Bearer secret',
      'content-type': 'application/json',
      accept: 'application/yaml',
    };
    const response = await api.call('POST', `${WIDGET_PATH}?fieldManager=me`, '{"kind":"Widget"}', headers);
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ kind: 'WidgetList' });
    const { headers: seen, ...request } = remote.seen.at(-1)!;
    expect(request).toEqual({
      method: 'POST',
      url: `${WIDGET_PATH}?fieldManager=me`,
      body: '{"kind":"Widget"}',
      client: 'front-proxy-client',
    });
    expect(seen).toMatchObject({
      host: 'widgets.default.svc',
      'x-remote-user': 'ann',
      'x-remote-uid': '7',
      'x-remote-group': 'dev, ops',
      'x-remote-extra-example.com%2fscopes': 'a, b',
      'content-type': 'application/json',
      accept: 'application/yaml',
      'audit-id': expect.any(String),
    });
    expect(Object.keys(seen).filter((name) => name === 'authorization' || name === 'x-remote-extra-foo')).toEqual([]);
    expect(remote.dialer.dialed.at(-1)).toEqual({ kind: 'service', namespace: 'default', name: 'widgets', port: 443 });
  });

  it('streams watches', async () => {
    await ready();
    const response = await api.call('GET', `${WIDGET_PATH}?watch=true`);
    expect(await response.text()).toBe('{"type":"ADDED"}\n{"type":"DELETED"}\n');
  });

  it('does not trust a server with another CA', async () => {
    await createService();
    await createSlice();
    await register({ caBundle: Buffer.from(remote.certificate.certificatePem).toString('base64') });
    await untilAvailable('Passed');
    const response = await api.call('GET', WIDGET_PATH);
    expect(await response.json()).toMatchObject({
      code: 503,
      message: expect.stringContaining('certificate signed by unknown authority'),
    });
  });

  it('merges discovery, and keeps it stale when the server goes', async () => {
    await ready();
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    const version = async () => {
      const response = await api.call('GET', '/apis', undefined, { accept });
      const { items } = await response.json<{ items: { metadata: { name: string }; versions: object[] }[] }>();
      return items.find(({ metadata }) => metadata.name === 'example.com')?.versions[0];
    };
    await expect.poll(version).toMatchObject({ version: 'v1', freshness: 'Current' });
    expect(await version()).toMatchObject({
      resources: [
        {
          resource: 'widgets',
          scope: 'Namespaced',
          singularResource: 'widget',
          shortNames: ['w'],
          responseKind: { group: 'example.com', version: 'v1', kind: 'Widget' },
          subresources: [{ subresource: 'status', verbs: ['get'] }],
        },
      ],
    });
    const groups = await api.expect(200, 'GET', '/apis');
    expect(groups.groups.map(({ name }: { name: string }) => name)).toContain('example.com');
    expect(await api.expect(200, 'GET', '/apis/example.com')).toMatchObject({ preferredVersion: { version: 'v1' } });
    expect(await api.expect(200, 'GET', '/apis/example.com/v1')).toMatchObject({ kind: 'APIResourceList' });
    remote.documents = {};
    await api.clock.advance(31_000);
    await untilAvailable('FailedDiscoveryCheck');
    await expect.poll(version).toMatchObject({ freshness: 'Stale', resources: [{ resource: 'widgets' }] });
    await api.expect(200, 'DELETE', `${APISERVICES}/v1.example.com`);
    expect(await version()).toBeUndefined();
  });

  it('merges OpenAPI', async () => {
    remote.documents = {
      '/apis/example.com/v1': WIDGETS,
      '/openapi/v3': {
        paths: { 'apis/example.com/v1': { serverRelativeURL: '/openapi/v3/apis/example.com/v1?hash=AB' } },
      },
      '/openapi/v3/apis/example.com/v1': { openapi: '3.0.0', paths: {} },
      '/openapi/v2': {
        swagger: '2.0',
        paths: { [`${WIDGET_PATH}`]: { get: { 'has no field': 1 } }, '/apis/apps/v1/evil': { get: {} } },
        definitions: { 'com.example.v1.Widget': { type: 'object' } },
        parameters: { 'limit-abc': { in: 'query', name: 'limit', type: 'integer' } },
      },
    };
    await ready();
    await expect
      .poll(async () => (await api.expect(200, 'GET', '/openapi/v3')).paths['apis/example.com/v1'])
      .toEqual({ serverRelativeURL: '/openapi/v3/apis/example.com/v1?hash=AB' });
    const v2 = await api.expect(200, 'GET', '/openapi/v2');
    expect(v2.definitions['com.example.v1.Widget']).toEqual({ type: 'object' });
    expect(v2.parameters['limit-abc']).toMatchObject({ name: 'limit' });
    expect([v2.paths[WIDGET_PATH], v2.paths['/apis/apps/v1/evil']]).toEqual([
      { get: { 'has no field': 1 } },
      undefined,
    ]);
    const accept = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
    expect((await api.call('GET', '/openapi/v2', undefined, { accept })).status).toBe(200);
    expect(await api.expect(200, 'GET', '/openapi/v3/apis/example.com/v1?hash=AB')).toMatchObject({ openapi: '3.0.0' });
  });
});
