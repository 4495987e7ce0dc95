import { beforeEach, describe, expect, test } from 'vitest';
import { decodeProtobuf } from '#api/codec/decode-protobuf.ts';
import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { createTestServer, type TestServer } from '../server/testing/test-server.ts';
import { toyConfigMaps, toyDeployments } from '../server/testing/toy-resources.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/a/deployments';
const X = `${DEPLOYMENTS}/x`;
const TYPES = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

let api: TestServer;
const patch = async (kind: keyof typeof TYPES, body: object, url: string = X) => {
  const response = await api.call('PATCH', url, body, { 'content-type': TYPES[kind] });
  // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes.
  return { status: response.status, body: await response.json<any>() };
};
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'x' },
  spec: {
    selector: { matchLabels: { a: 'b' } },
    template: { spec: { containers: [{ name: 'c', image: 'one' }] } },
  },
};
// biome-ignore lint/suspicious/noExplicitAny: answers have many shapes.
const containersOf = (object: any) => object.spec.template.spec.containers;

beforeEach(async () => {
  api = createTestServer({ definitions: [toyDeployments, toyConfigMaps] });
  await api.expect(201, 'POST', DEPLOYMENTS, deployment);
});

describe('patch', () => {
  test('as JSON operations', async () => {
    const { status, body } = await patch('json', [{ op: 'replace', path: '/spec/replicas', value: 3 }]);
    expect([status, body.spec.replicas, body.metadata.generation]).toEqual([200, 3, 2]);
  });

  test('as a merge replaces lists', async () => {
    const spec = { template: { spec: { containers: [{ name: 'd', image: 'two' }] } } };
    expect(containersOf((await patch('merge', { spec })).body)).toMatchObject([{ name: 'd', image: 'two' }]);
  });

  test('as a strategic merge merges lists by their key', async () => {
    const spec = {
      template: {
        spec: {
          containers: [
            { name: 'd', image: 'two' },
            { name: 'c', image: 'new' },
          ],
        },
      },
    };
    const names = containersOf((await patch('strategic', { spec })).body).map(
      (one: { name: string; image: string }) => one.name + one.image,
    );
    expect(names.sort()).toEqual(['cnew', 'dtwo']);
  });

  test('of the status leaves the spec alone', async () => {
    const { body } = await patch('merge', { spec: { replicas: 9 }, status: { replicas: 2 } }, `${X}/status`);
    expect([body.spec.replicas, body.status.replicas, body.metadata.generation]).toEqual([1, 2, 1]);
    expect(
      body.metadata.managedFields.map((entry: { subresource?: string }) => entry.subresource ?? '').sort(),
    ).toEqual(['', 'status']);
  });

  test('of the scale changes the parent', async () => {
    const { body } = await patch('merge', { spec: { replicas: 4 } }, `${X}/scale`);
    expect(body).toMatchObject({ kind: 'Scale', spec: { replicas: 4 } });
  });

  test.each([
    ['an older version', 'merge', { metadata: { resourceVersion: '1' } }, 409, 'the object has been modified'],
    ['another name', 'merge', { metadata: { name: 'y' } }, 400, 'does not match the name on the URL'],
    ['another kind', 'merge', { kind: 'Pod' }, 400, ''],
    ['a value of the wrong type', 'merge', { spec: { replicas: 'many' } }, 400, 'replicas'],
    ['an invalid value', 'merge', { spec: { replicas: -1 } }, 422, 'spec.replicas'],
    ['a failed test', 'json', [{ op: 'test', path: '/spec/replicas', value: 7 }], 422, ''],
    ['no patch', 'json', {}, 400, 'JSON patch'],
  ] as const)('with %s is refused and changes nothing', async (_name, kind, body, code, message) => {
    const { revision } = api.store;
    const answer = await patch(kind, body);
    expect(answer.status).toBe(code);
    expect(answer.body.message).toContain(message);
    expect(api.store.revision).toBe(revision);
  });

  test('of a missing object is 404, of an unknown type 415', async () => {
    expect((await patch('merge', {}, `${DEPLOYMENTS}/y`)).status).toBe(404);
    expect((await api.call('PATCH', X, {}, { 'content-type': 'application/json' })).status).toBe(415);
  });
});

describe('server-side apply', () => {
  const config = (replicas: number, name = 'y') => ({
    ...deployment,
    metadata: { name },
    spec: { ...deployment.spec, replicas },
  });
  const Y = `${DEPLOYMENTS}/y`;

  test('creates what is not there, and changes nothing when repeated', async () => {
    const first = await patch('apply', config(2), `${Y}?fieldManager=me`);
    expect([first.status, first.body.spec.replicas]).toEqual([201, 2]);
    expect(first.body.metadata.managedFields).toMatchObject([{ manager: 'me', operation: 'Apply' }]);
    const again = await patch('apply', config(2), `${Y}?fieldManager=me`);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
  });

  test('of a field that another manager owns is a conflict unless forced', async () => {
    await patch('apply', config(2), `${Y}?fieldManager=me`);
    const lost = await patch('apply', config(3), `${Y}?fieldManager=you`);
    expect(lost.status).toBe(409);
    expect(lost.body.details.causes[0]).toMatchObject({ reason: 'FieldManagerConflict', field: '.spec.replicas' });
    const won = await patch('apply', config(3), `${Y}?fieldManager=you&force=true`);
    expect([won.status, won.body.spec.replicas]).toEqual([200, 3]);
  });

  test('needs a manager and the name of its path', async () => {
    expect((await patch('apply', config(2), Y)).body.message).toContain('fieldManager: Required value');
    expect((await patch('apply', config(2, 'z'), `${Y}?fieldManager=me`)).status).toBe(400);
    expect((await patch('merge', {}, `${X}?force=true`)).status).toBe(422);
  });
});

describe('protobuf', () => {
  const headers = {
    'content-type': 'application/vnd.kubernetes.protobuf',
    accept: 'application/vnd.kubernetes.protobuf,application/json',
  };
  const types = builtinTypes();
  const kind = { group: '', version: 'v1', kind: 'ConfigMap' };
  const bytesOf = async (response: { chunks: AsyncIterable<Uint8Array> }) => {
    const parts: Uint8Array[] = [];
    for await (const chunk of response.chunks) parts.push(chunk);
    return Buffer.concat(parts);
  };
  const decode = (bytes: Uint8Array) => decodeProtobuf(bytes, (gvk) => types.typeOf(gvk)!);

  test('objects and lists go in and out', async () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { a: 'b' } };
    const body = encodeProtobuf(object, types.typeOf(kind)!);
    const created = await api.call('POST', '/api/v1/namespaces/a/configmaps', body, headers);
    expect([created.status, created.headers['content-type']]).toEqual([201, headers['content-type']]);
    expect(decode(await bytesOf(created))).toMatchObject({
      kind: 'ConfigMap',
      metadata: { name: 'x', namespace: 'a' },
    });
    const list = await api.call('GET', '/api/v1/namespaces/a/configmaps', undefined, headers);
    expect(decode(await bytesOf(list))).toMatchObject({ kind: 'ConfigMapList', items: [{ data: { a: 'b' } }] });
  });

  test('watch frames carry their length', async () => {
    await api.expect(201, 'POST', '/api/v1/namespaces/a/configmaps', { metadata: { name: 'x' } });
    const url = '/api/v1/namespaces/a/configmaps?watch=true';
    const watch = await api.call('GET', url, undefined, { accept: headers.accept });
    expect(watch.headers['content-type']).toBe('application/vnd.kubernetes.protobuf;stream=watch');
    for await (const chunk of watch.chunks) {
      expect(new DataView(chunk.buffer, chunk.byteOffset).getUint32(0)).toBe(chunk.byteLength - 4);
      break;
    }
    watch.cancel();
  });

  test.each([
    ['truncated', Uint8Array.of(0x6b, 0x38, 0x73, 0, 0x0a, 0x50)],
    ['no protobuf at all', new TextEncoder().encode('{"metadata":{}}')],
  ])('that is %s is refused', async (_name, body) => {
    expect((await api.call('POST', '/api/v1/namespaces/a/configmaps', body, headers)).status).toBe(400);
  });
});
