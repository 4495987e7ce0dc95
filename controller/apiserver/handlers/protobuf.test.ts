import { describe, expect, test } from 'vitest';
import { decodeProtobuf } from '#api/codec/decode-protobuf.ts';
import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import { type GroupVersionKind, parseApiVersion } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { createResourceServer } from '../resources/testing/resource-server.ts';
import { callInMemory } from '../server/in-memory.ts';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const PARTIAL = `${PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`;
const PARTIAL_LIST = `${PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`;

const typeOf = (gvk: GroupVersionKind): TypeDef => {
  const type = builtinTypes().typeOf(gvk.group === 'meta.k8s.io' ? { ...gvk, version: 'v1' } : gvk);
  if (type === undefined) throw new Error(`no kind ${gvk.kind}`);
  return type;
};
const typeOfObject = ({ apiVersion, kind }: KubeObject) => typeOf({ ...parseApiVersion(apiVersion), kind });
const decode = (bytes: Uint8Array) => decodeProtobuf(bytes, typeOf);
const encode = (object: KubeObject) => encodeProtobuf(object, typeOfObject(object));

async function clusterWith(...objects: [path: string, object: KubeObject][]) {
  const api = createResourceServer();
  const call = async (method: string, url: string, body?: KubeObject, accept = PROTOBUF) => {
    const response = await callInMemory(api.server.handle, {
      method,
      url,
      headers: { accept, 'content-type': PROTOBUF },
      ...(body === undefined ? {} : { body: encode(body) }),
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.chunks) {
      chunks.push(chunk);
      if (url.includes('watch=')) break;
    }
    const bytes = Buffer.concat(chunks);
    return { status: response.status, type: String(response.headers['content-type']), bytes };
  };
  for (const [path, object] of objects) expect((await call('POST', path, object)).status).toBe(201);
  return { call };
}

const namespace = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
const configMap = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { a: 'b' },
});
const MAPS = '/api/v1/namespaces/a/configmaps';
const start = () => clusterWith(['/api/v1/namespaces', namespace('a')], [MAPS, configMap('x')]);

describe('objects as protobuf', () => {
  test.each([
    ['one object', `${MAPS}/x`, PROTOBUF, 'ConfigMap'],
    ['a list', MAPS, PROTOBUF, 'ConfigMapList'],
    ['metadata of one object', `${MAPS}/x`, PARTIAL, 'PartialObjectMetadata'],
    ['metadata of a list', MAPS, PARTIAL_LIST, 'PartialObjectMetadataList'],
    ['a refusal', `${MAPS}/y`, PROTOBUF, 'Status'],
    ['a refusal of metadata', `${MAPS}/y`, PARTIAL, 'Status'],
  ])('%s', async (_name, path, accept, kind) => {
    const { call } = await start();
    const { type, bytes } = await call('GET', path, undefined, accept);
    expect(type).toBe(PROTOBUF);
    const object = decode(bytes);
    expect(object.kind).toBe(kind);
    if (kind === 'PartialObjectMetadata') expect(object).toMatchObject({ metadata: { name: 'x', namespace: 'a' } });
    if (kind.endsWith('List')) expect(object.items).toMatchObject([{ metadata: { name: 'x' } }]);
    if (kind === 'Status') expect(object).toMatchObject({ code: 404, reason: 'NotFound', details: { name: 'y' } });
  });

  test('a deletion answers a Status', async () => {
    const { call } = await start();
    const options = { apiVersion: 'v1', kind: 'DeleteOptions', metadata: {}, propagationPolicy: 'Background' };
    const { status, bytes } = await call('DELETE', `${MAPS}/x`, options);
    expect(status).toBe(200);
    expect(decode(bytes)).toMatchObject({ kind: 'Status', status: 'Success', details: { name: 'x' } });
  });

  test.each([
    ['of itself', PROTOBUF, 'ConfigMap'],
    ['of its metadata', PARTIAL, 'PartialObjectMetadata'],
  ])('a watch %s sends events with their length before them', async (_name, accept, kind) => {
    const { call } = await start();
    const { type, bytes } = await call('GET', `${MAPS}?watch=true`, undefined, accept);
    expect(type).toBe(`${PROTOBUF};stream=watch`);
    const length = bytes.readUInt32BE(0);
    const event = bytes.subarray(4, 4 + length);
    // WatchEvent: field 1 is the type, field 2 a RawExtension whose field 1 is the encoded object.
    expect(event.subarray(0, 7).toString('latin1')).toBe('\n\u0005ADDED');
    const at = event.indexOf('k8s\0');
    expect(decode(event.subarray(at))).toMatchObject({ kind, metadata: { name: 'x' } });
  });

  test('a Table has no protobuf form', async () => {
    const { call } = await start();
    const table = `${PROTOBUF};as=Table;g=meta.k8s.io;v=v1`;
    expect((await call('GET', MAPS, undefined, table)).status).toBe(406);
  });

  test('an error is told in YAML to who accepts YAML', async () => {
    const { call } = await start();
    const { type, bytes } = await call('GET', `${MAPS}/y`, undefined, 'application/yaml');
    expect(type).toBe('application/yaml');
    expect(bytes.toString()).toContain('reason: NotFound');
  });
});
