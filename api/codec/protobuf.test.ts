import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ApiError, badRequest } from '../object/api-error.ts';
import type { GroupVersionKind } from '../object/group-version.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import { canonicalize } from './canonical.ts';
import { decodeObject } from './decode.ts';
import { decodeProtobuf } from './decode-protobuf.ts';
import { encodeProtobuf, encodeProtobufWatchEvent } from './encode-protobuf.ts';

const roundtrip = join(import.meta.dirname, '../../../shared/reference/roundtrip');
const resolve = (gvk: GroupVersionKind) => {
  const type = builtinTypes().typeOf(gvk);
  if (type === undefined) throw badRequest(`no kind ${gvk.kind}`);
  return type;
};
const core = (kind: string) => resolve({ group: '', version: 'v1', kind });

const isPresent = existsSync(roundtrip);
if (!isPresent) console.log(`protobuf.test: reference objects skipped, nothing at ${roundtrip}`);
/** A WatchEvent's envelope names no kind: it travels bare in watch streams. */
const names = isPresent
  ? readdirSync(roundtrip).flatMap((name) => (/(?<!WatchEvent)\.pb$/.test(name) ? [name.slice(0, -3)] : []))
  : [];

describe.skipIf(!isPresent)('reference objects', () => {
  for (const name of names) {
    const bytes = () => new Uint8Array(readFileSync(join(roundtrip, `${name}.pb`)));
    it(`${name}: decodes to the reference JSON, and encodes to the reference bytes`, () => {
      const expected = JSON.parse(readFileSync(join(roundtrip, `${name}.json`), 'utf8')) as KubeObject;
      const decoded = decodeProtobuf(bytes(), resolve);
      expect(decoded).toEqual(Object.assign({ metadata: {} }, expected));
      const type = resolve({ ...splitVersion(expected.apiVersion), kind: expected.kind });
      const encoded = encodeProtobuf(canonicalize(decoded, type), type);
      expect(Buffer.from(encoded).toString('hex')).toBe(Buffer.from(bytes()).toString('hex'));
    });

    it(`${name}: the reference JSON becomes the reference bytes`, () => {
      const expected = JSON.parse(readFileSync(join(roundtrip, `${name}.json`), 'utf8')) as KubeObject;
      const type = resolve({ ...splitVersion(expected.apiVersion), kind: expected.kind });
      const { object, unknownFields } = decodeObject(expected, type);
      expect(unknownFields).toEqual([]);
      const encoded = encodeProtobuf(canonicalize(object, type), type);
      expect(Buffer.from(encoded).toString('hex')).toBe(Buffer.from(bytes()).toString('hex'));
    });
  }
});

it.skipIf(!isPresent)('a frame of a watch is the reference WatchEvent', () => {
  const { type, object } = JSON.parse(readFileSync(join(roundtrip, 'core.v1.WatchEvent.json'), 'utf8'));
  const frame = encodeProtobufWatchEvent(type, Buffer.from(JSON.stringify(object)));
  const envelope = readFileSync(join(roundtrip, 'core.v1.WatchEvent.pb'));
  expect(envelope.includes(frame)).toBe(true);
});

function splitVersion(apiVersion: string): { group: string; version: string } {
  const [group, version] = apiVersion.split('/');
  return version === undefined ? { group: '', version: group! } : { group: group!, version };
}

describe('protobuf', () => {
  it('carries what JSON carries', () => {
    const pod = canonicalize(
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'é', labels: JSON.parse('{"__proto__":"x","a":""}') },
        spec: {
          priority: -5,
          containers: [
            {
              name: 'a',
              ports: [{ containerPort: 80 }],
              readinessProbe: { httpGet: { port: 'web' }, periodSeconds: 1 },
              resources: { limits: { memory: '1Gi' } },
            },
          ],
          volumes: [{ name: 'v', emptyDir: {} }],
        },
      } as KubeObject,
      core('Pod'),
    );
    const bytes = encodeProtobuf(pod, core('Pod'));
    expect(canonicalize(decodeProtobuf(bytes, resolve), core('Pod'))).toEqual(pod);
    expect(bytes.buffer.byteLength).toBe(bytes.byteLength);
  });

  it('grows for large objects', () => {
    const data = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`k${index}`, 'x'.repeat(500)]));
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data };
    expect(decodeProtobuf(encodeProtobuf(object, core('ConfigMap')), resolve)).toEqual(object);
  });

  const magic = [0x6b, 0x38, 0x73, 0];
  const configMap = [0x0a, 0x0f, 0x0a, 2, 0x76, 0x31, 0x12, 9, ...Buffer.from('ConfigMap')];
  const refused: { name: string; bytes: number[]; message: string }[] = [
    { name: 'other bytes', bytes: [1, 2, 3, 4], message: 'does not appear to be a protobuf message' },
    { name: 'a broken length', bytes: [...magic, ...configMap, 0x12, 0x7f, 1], message: 'unexpected EOF' },
    { name: 'an endless varint', bytes: [...magic, ...new Array<number>(12).fill(0xff)], message: 'integer overflow' },
    {
      name: 'invalid UTF-8',
      bytes: [...magic, ...configMap, 0x12, 5, 0x0a, 3, 0x0a, 1, 0xff],
      message: 'invalid UTF-8',
    },
    { name: 'an unknown kind', bytes: [...magic, 0x0a, 0], message: 'no kind' },
    {
      name: 'a wrong wire type',
      bytes: [...magic, ...configMap, 0x12, 2, 0x08, 1],
      message: 'wrong wireType = 0 for field 1',
    },
  ];
  for (const { name, bytes, message } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => decodeProtobuf(Uint8Array.from(bytes), resolve)).toThrow(ApiError);
      expect(() => decodeProtobuf(Uint8Array.from(bytes), resolve)).toThrow(message);
    });
  }
});
