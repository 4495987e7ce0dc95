import { beforeEach, describe, expect, test } from 'vitest';
import { createTestServer, type TestServer } from './testing/test-server.ts';
import { toyConfigMaps, toyDeployments, toyPods } from './testing/toy-resources.ts';

const CONFIG_MAPS = '/api/v1/namespaces/a/configmaps';
const DEPLOYMENTS = '/apis/apps/v1/namespaces/a/deployments';
const PODS = '/api/v1/namespaces/a/pods';

const configMap = (name: string, data: object = { key: 'value' }, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});
const deployment = (name: string, spec: object = {}, rest: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: { selector: {}, template: {}, ...spec },
  ...rest,
});
const pod = (name: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { containers: [], ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createTestServer({ definitions: [toyConfigMaps, toyDeployments, toyPods] });
});

describe('create', () => {
  test('answers 201 with what the server knows of the object', async () => {
    const created = await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    expect(created).toMatchObject({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'x', namespace: 'a', uid: 'uid-1', creationTimestamp: '2026-01-01T00:00:00Z' },
      data: { key: 'value' },
    });
    expect(created.metadata.resourceVersion).toBe(String(api.store.revision));
    expect(await api.expect(200, 'GET', `${CONFIG_MAPS}/x`)).toEqual(created);
  });

  test('takes nothing of system metadata from the client', async () => {
    const metadata = { uid: 'mine', creationTimestamp: '1999-01-01T00:00:00Z', generation: 9 };
    const created = await api.expect(201, 'POST', DEPLOYMENTS, {
      ...deployment('x'),
      metadata: { name: 'x', ...metadata },
    });
    expect(created.metadata).toMatchObject({ uid: 'uid-1', creationTimestamp: '2026-01-01T00:00:00Z', generation: 1 });
  });

  test('draws another name when a generated one is taken', async () => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'x-' } };
    const names = new Set<string>();
    for (let i = 0; i < 5; i++) names.add((await api.expect(201, 'POST', CONFIG_MAPS, body)).metadata.name);
    expect(names.size).toBe(5);
    for (const name of names) expect(name).toMatch(/^x-[a-z0-9]{5}$/);
  });

  test('with dryRun=All answers the object and stores nothing', async () => {
    const { revision } = api.store;
    const created = await api.expect(201, 'POST', `${CONFIG_MAPS}?dryRun=All`, configMap('x'));
    expect(created.metadata.uid).toBe('uid-1');
    expect(api.store.revision).toBe(revision);
    await api.expect(404, 'GET', `${CONFIG_MAPS}/x`);
  });

  const refusals: readonly [
    name: string,
    url: string,
    body: object | string,
    code: number,
    reason: string,
    message: string,
  ][] = [
    ['a taken name', CONFIG_MAPS, configMap('taken'), 409, 'AlreadyExists', 'configmaps "taken" already exists'],
    ['no name', CONFIG_MAPS, configMap(''), 422, 'Invalid', 'name or generateName is required'],
    ['a bad name', CONFIG_MAPS, configMap('Bad_Name'), 422, 'Invalid', 'metadata.name'],
    ['a bad label', CONFIG_MAPS, configMap('x', {}, { labels: { 'a b': 'c' } }), 422, 'Invalid', 'metadata.labels'],
    [
      'another namespace',
      CONFIG_MAPS,
      configMap('x', {}, { namespace: 'b' }),
      400,
      'BadRequest',
      'the namespace of the provided object does not match the namespace sent on the request',
    ],
    ['malformed JSON', CONFIG_MAPS, '{"a":', 400, 'BadRequest', 'json parse error'],
    ['a wrong type', CONFIG_MAPS, { ...configMap('x'), data: 5 }, 400, 'BadRequest', 'ConfigMap.data'],
    ['another kind', CONFIG_MAPS, { ...configMap('x'), kind: 'Pod' }, 400, 'BadRequest', 'Pod'],
    ['another version', CONFIG_MAPS, { ...configMap('x'), apiVersion: 'v2' }, 400, 'BadRequest', 'does not match'],
    [
      'an unknown field under Strict',
      `${CONFIG_MAPS}?fieldValidation=Strict`,
      { ...configMap('x'), dota: {} },
      400,
      'BadRequest',
      'strict decoding error: unknown field "dota"',
    ],
    [
      'an invalid value',
      DEPLOYMENTS,
      deployment('x', { replicas: -1 }),
      422,
      'Invalid',
      'spec.replicas: Invalid value: -1',
    ],
    ['an unknown option', `${CONFIG_MAPS}?dryRun=Some`, configMap('x'), 422, 'Invalid', 'dryRun'],
    ['no such resource', '/api/v1/namespaces/a/gadgets', configMap('x'), 404, 'NotFound', 'could not find'],
  ];
  test.each(refusals)('refuses %s', async (_name, url, body, code, reason, message) => {
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('taken'));
    const { revision } = api.store;
    const status = await api.expect(code, 'POST', url, body);
    expect(status).toMatchObject({ kind: 'Status', status: 'Failure', code, reason });
    expect(status.message).toContain(message);
    expect(api.store.revision).toBe(revision);
  });

  test('warns of unknown fields by default and drops them', async () => {
    const response = await api.call('POST', CONFIG_MAPS, { ...configMap('x'), dota: {} });
    expect(response.status).toBe(201);
    expect(response.headers.warning).toEqual(['299 - "unknown field \\"dota\\""']);
    expect(await response.json()).not.toHaveProperty('dota');
  });

  test('refuses bodies over 3 MiB', async () => {
    const status = await api.expect(413, 'POST', CONFIG_MAPS, 'x'.repeat(3 * 1024 * 1024 + 1));
    expect(status.reason).toBe('RequestEntityTooLarge');
  });

  test('refuses media types that it does not speak', async () => {
    const response = await api.call('POST', CONFIG_MAPS, '<a/>', { 'content-type': 'text/xml' });
    expect(response.status).toBe(415);
    expect((await api.call('GET', CONFIG_MAPS, undefined, { accept: 'text/html' })).status).toBe(406);
  });

  test('reads and writes YAML', async () => {
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: b\n';
    const headers = { 'content-type': 'application/yaml', accept: 'application/yaml' };
    const response = await api.call('POST', CONFIG_MAPS, yaml, headers);
    expect(response.headers['content-type']).toBe('application/yaml');
    expect(await response.text()).toContain('data:\n  a: b\n');
  });
});

describe('update', () => {
  test('that changes nothing spends no revision', async () => {
    const created = await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    const updated = await api.expect(200, 'PUT', `${CONFIG_MAPS}/x`, created);
    expect(updated).toEqual(created);
  });

  test('keeps what only the server may set', async () => {
    const created = await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    const updated = await api.expect(200, 'PUT', `${CONFIG_MAPS}/x`, configMap('x', { other: '1' }));
    expect(updated.data).toEqual({ other: '1' });
    expect(updated.metadata).toMatchObject({ uid: created.metadata.uid, creationTimestamp: '2026-01-01T00:00:00Z' });
    expect(Number(updated.metadata.resourceVersion)).toBeGreaterThan(Number(created.metadata.resourceVersion));
  });

  test('of an older version is refused with 409', async () => {
    const created = await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    await api.expect(200, 'PUT', `${CONFIG_MAPS}/x`, configMap('x', { other: '1' }));
    const status = await api.expect(409, 'PUT', `${CONFIG_MAPS}/x`, { ...created, data: {} });
    expect(status.reason).toBe('Conflict');
    expect(status.message).toContain('the object has been modified');
  });

  test('without a version is refused where the kind demands one', async () => {
    await api.expect(201, 'POST', DEPLOYMENTS, deployment('x'));
    const status = await api.expect(422, 'PUT', `${DEPLOYMENTS}/x`, deployment('x'));
    expect(status.message).toContain('metadata.resourceVersion: Invalid value: 0x0: must be specified for an update');
  });

  test('of a name that is not there creates where the kind allows it', async () => {
    await api.expect(201, 'PUT', `${CONFIG_MAPS}/x`, configMap('x'));
    await api.expect(404, 'PUT', `${DEPLOYMENTS}/x`, deployment('x'));
  });

  test('counts a generation for changes of the desired state alone', async () => {
    const created = await api.expect(201, 'POST', DEPLOYMENTS, deployment('x'));
    expect(created.metadata.generation).toBe(1);
    const labelled = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x`, {
      ...created,
      metadata: { ...created.metadata, labels: { a: 'b' } },
    });
    expect(labelled.metadata.generation).toBe(1);
    const scaled = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x`, {
      ...labelled,
      spec: { ...labelled.spec, replicas: 3 },
    });
    expect(scaled.metadata.generation).toBe(2);
  });

  test('of the main resource leaves the status alone, and the other way round', async () => {
    const created = await api.expect(201, 'POST', DEPLOYMENTS, deployment('x', {}, { status: { replicas: 9 } }));
    expect(created.status?.replicas).toBeUndefined();
    const wanted = { ...created, spec: { ...created.spec, replicas: 5 }, status: { replicas: 4 } };
    const status = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x/status`, wanted);
    expect([status.spec.replicas, status.status.replicas]).toEqual([1, 4]);
    const main = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x`, {
      ...status,
      spec: wanted.spec,
      status: { replicas: 7 },
    });
    expect([main.spec.replicas, main.status.replicas]).toEqual([5, 4]);
  });

  test('through the scale changes the replicas', async () => {
    await api.expect(201, 'POST', DEPLOYMENTS, deployment('x'));
    const scale = await api.expect(200, 'GET', `${DEPLOYMENTS}/x/scale`);
    expect(scale).toMatchObject({ kind: 'Scale', spec: { replicas: 1 } });
    const changed = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x/scale`, { ...scale, spec: { replicas: 4 } });
    expect(changed.spec.replicas).toBe(4);
    await api.expect(409, 'PUT', `${DEPLOYMENTS}/x/scale`, { ...scale, spec: { replicas: 5 } });
    expect((await api.expect(200, 'GET', `${DEPLOYMENTS}/x`)).spec.replicas).toBe(4);
  });
});

describe('delete', () => {
  test('answers a Status that names what is gone', async () => {
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    const status = await api.expect(200, 'DELETE', `${CONFIG_MAPS}/x`);
    expect(status).toMatchObject({ status: 'Success', details: { name: 'x', kind: 'configmaps', uid: 'uid-1' } });
    await api.expect(404, 'DELETE', `${CONFIG_MAPS}/x`);
  });

  test('waits for finalizers, and the write that takes the last one off removes the object', async () => {
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('x', {}, { finalizers: ['example.com/hold'] }));
    const held = await api.expect(200, 'DELETE', `${CONFIG_MAPS}/x`);
    expect(held.metadata).toMatchObject({ deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 0 });
    await api.expect(200, 'PUT', `${CONFIG_MAPS}/x`, { ...held, metadata: { ...held.metadata, finalizers: [] } });
    await api.expect(404, 'GET', `${CONFIG_MAPS}/x`);
  });

  test('in the foreground leaves the object to the garbage collector', async () => {
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('x'));
    const held = await api.expect(202, 'DELETE', `${CONFIG_MAPS}/x`, { propagationPolicy: 'Foreground' });
    expect(held.metadata.finalizers).toEqual(['foregroundDeletion']);
  });

  test('lets a pod die gracefully, shortens its grace, and removes it with grace 0', async () => {
    await api.expect(201, 'POST', PODS, pod('x'));
    const dying = await api.expect(200, 'DELETE', `${PODS}/x`);
    expect(dying.metadata).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:30Z',
      deletionGracePeriodSeconds: 30,
    });
    const sooner = await api.expect(200, 'DELETE', `${PODS}/x?gracePeriodSeconds=5`);
    expect(sooner.metadata).toMatchObject({ deletionTimestamp: '2026-01-01T00:00:05Z', deletionGracePeriodSeconds: 5 });
    const later = await api.expect(200, 'DELETE', `${PODS}/x`, { gracePeriodSeconds: 60 });
    expect(later.metadata.deletionGracePeriodSeconds).toBe(5);
    await api.expect(200, 'DELETE', `${PODS}/x`, { gracePeriodSeconds: 0 });
    await api.expect(404, 'GET', `${PODS}/x`);
  });

  test('of another object than the client meant is refused', async () => {
    await api.expect(201, 'POST', PODS, pod('x'));
    const status = await api.expect(409, 'DELETE', `${PODS}/x`, { preconditions: { uid: 'other' } });
    expect(status.message).toContain('the UID in the precondition (other) does not match the UID in record (uid-1)');
  });

  test('of a collection spares what the selector does not mean', async () => {
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('x', {}, { labels: { a: '1' } }));
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('y', {}, { labels: { a: '2' } }));
    const deleted = await api.expect(200, 'DELETE', `${CONFIG_MAPS}?labelSelector=a%3D1`);
    expect(deleted.items.map((item: { metadata: { name: string } }) => item.metadata.name)).toEqual(['x']);
    expect((await api.expect(200, 'GET', CONFIG_MAPS)).items).toHaveLength(1);
  });
});

describe('list', () => {
  const names = (list: { items: { metadata: { name: string } }[] }) => list.items.map((item) => item.metadata.name);

  beforeEach(async () => {
    for (const name of ['c', 'a', 'b']) {
      await api.expect(201, 'POST', PODS, pod(name, { nodeName: `n-${name}` }, { labels: { name } }));
    }
    await api.expect(201, 'POST', '/api/v1/namespaces/b/pods', pod('d'));
  });

  test.each([
    ['one namespace', PODS, ['a', 'b', 'c']],
    ['all namespaces', '/api/v1/pods', ['a', 'b', 'c', 'd']],
    ['a label', `${PODS}?labelSelector=name%20in%20(a,c)`, ['a', 'c']],
    ['an indexed field', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn-b', ['b']],
    ['a name', '/api/v1/pods?fieldSelector=metadata.name%3Dd', ['d']],
    ['an inequality', `${PODS}?fieldSelector=spec.nodeName!%3Dn-b`, ['a', 'c']],
  ])('of %s', async (_name, url, expected) => {
    const list = await api.expect(200, 'GET', url);
    expect(list).toMatchObject({ kind: 'PodList', apiVersion: 'v1' });
    expect(list.metadata.resourceVersion).toBe(String(api.store.revision));
    expect(names(list)).toEqual(expected);
  });

  test('pages show the state of their first page', async () => {
    const first = await api.expect(200, 'GET', `${PODS}?limit=2`);
    expect(names(first)).toEqual(['a', 'b']);
    expect(first.metadata.remainingItemCount).toBe(1);
    await api.expect(201, 'POST', PODS, pod('bb'));
    const second = await api.expect(200, 'GET', `${PODS}?limit=2&continue=${first.metadata.continue}`);
    expect(names(second)).toEqual(['c']);
    expect(second.metadata).toEqual({ resourceVersion: first.metadata.resourceVersion });
  });

  test('at an exact version shows the past', async () => {
    const { revision } = api.store;
    await api.expect(201, 'POST', PODS, pod('e'));
    const past = await api.expect(200, 'GET', `${PODS}?resourceVersion=${revision}&resourceVersionMatch=Exact`);
    expect(names(past)).toEqual(['a', 'b', 'c']);
    expect(past.metadata.resourceVersion).toBe(String(revision));
  });

  test.each([
    ['an unknown field', 'fieldSelector=spec.color%3Dred', 400, 'field label not supported: spec.color'],
    ['a malformed label selector', 'labelSelector=a%20in%20b', 400, 'unable to parse requirement'],
    ['a foreign continue token', 'continue=abc', 400, 'continue key is not valid'],
    ['a version that is no number', 'resourceVersion=x', 400, 'invalid resource version'],
    ['a match without a version', 'resourceVersionMatch=Exact', 422, 'resourceVersionMatch is forbidden unless'],
  ])('refuses %s', async (_name, query, code, message) => {
    expect((await api.expect(code, 'GET', `${PODS}?${query}`)).message).toContain(message);
  });

  test('as a Table shows the columns of the kind', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    const table = await (await api.call('GET', `${PODS}?limit=1`, undefined, { accept })).json<{ rows: object[] }>();
    expect(table).toMatchObject({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      columnDefinitions: [{ name: 'Name', type: 'string', format: 'name', priority: 0 }, { name: 'Created At' }],
      rows: [{ cells: ['a', expect.anything()], object: { kind: 'PartialObjectMetadata', metadata: { name: 'a' } } }],
    });
    expect(table.rows).toHaveLength(1);
  });

  test('as partial metadata leaves spec and status out', async () => {
    const accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
    const list = await (await api.call('GET', PODS, undefined, { accept })).json<{ items: object[] }>();
    expect(list).toMatchObject({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
    expect(list.items[0]).toEqual({
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: expect.objectContaining({ name: 'a' }),
    });
  });
});

test('an escaped slash leads to no other object than the one that was authorized', async () => {
  await api.expect(201, 'POST', PODS, pod('x'));
  await api.expect(400, 'GET', '/api/v1/pods/a%2Fx');
  await api.expect(400, 'DELETE', '/api/v1/namespaces/a%2Fb/pods/x');
  await api.expect(404, 'GET', '/api/v1/pods/x');
  await api.expect(405, 'DELETE', '/api/v1/pods');
  await api.expect(200, 'GET', `${PODS}/x`);
});

test('methods that a resource does not serve are refused with 405', async () => {
  expect(await api.expect(405, 'POST', `${PODS}/x`, pod('x'))).toMatchObject({ reason: 'MethodNotAllowed' });
  await api.expect(405, 'PUT', PODS, pod('x'));
  await api.expect(404, 'GET', `${PODS}/x/nothing`);
});
