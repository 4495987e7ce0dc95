import { describe, expect, it } from 'vitest';
import { ApiError } from '../object/api-error.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { recordUpdate, withManagedFields } from '../patch/managed-fields.ts';
import { applyConfiguration } from '../patch/server-side-apply.ts';
import { applyStrategicMerge } from '../patch/strategic-merge.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { applyPlainDefaults, canonicalize, encodeCanonical } from './canonical.ts';
import { decodeObject } from './decode.ts';
import { decodeProtobuf } from './decode-protobuf.ts';
import { encodeProtobuf } from './encode-protobuf.ts';
import { Chaos } from './testing/chaos.ts';

/** Undefined where the input was refused; anything but an ApiError fails the test. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (err) {
    if (err instanceof ApiError && err.code < 500) return undefined;
    throw err;
  }
}

const kinds = [
  ['', 'Pod'],
  ['', 'Service'],
  ['', 'Node'],
  ['apps', 'Deployment'],
  ['discovery.k8s.io', 'EndpointSlice'],
  ['rbac.authorization.k8s.io', 'ClusterRole'],
  ['apiextensions.k8s.io', 'CustomResourceDefinition'],
] as const;
const cases = kinds.map(([group, kind]) => ({ kind, type: builtinTypes().typeOf({ group, version: 'v1', kind })! }));
const headOf = (type: TypeDef) => {
  const gvk = type.gvks[0]!;
  return { apiVersion: gvk.group === '' ? gvk.version : `${gvk.group}/${gvk.version}`, kind: gvk.kind };
};

describe.each(cases)('random $kind objects', ({ type }) => {
  it('are refused or become canonical for good, in JSON and in protobuf', () => {
    const chaos = new Chaos(11);
    let accepted = 0;
    for (let round = 0; round < 150; round++) {
      const wild = round % 3 === 0 ? 0.05 : 0;
      const source = { ...chaos.object(type, 6, wild), ...headOf(type) };
      const decoded = attempt(() => decodeObject(source, type));
      if (decoded === undefined) continue;
      accepted++;
      applyPlainDefaults(decoded.object, type);
      const canonical = canonicalize(decoded.object, type);
      const bytes = encodeCanonical(canonical);
      const again = decodeObject(JSON.parse(new TextDecoder().decode(bytes)), type);
      expect(again.unknownFields).toEqual([]);
      expect(encodeCanonical(canonicalize(again.object, type))).toEqual(bytes);
      const proto = decodeProtobuf(encodeProtobuf(canonical, type), () => type);
      const protoBytes = encodeProtobuf(canonicalize(proto, type), type);
      expect(
        encodeProtobuf(
          canonicalize(
            decodeProtobuf(protoBytes, () => type),
            type,
          ),
          type,
        ),
      ).toEqual(protoBytes);
    }
    expect(accepted).toBeGreaterThan(90);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it('can be patched and applied, or the patch is refused', () => {
    const chaos = new Chaos(23);
    let applied = 0;
    for (let round = 0; round < 60; round++) {
      const wild = round % 3 === 0 ? 0.05 : 0;
      const next = () => ({
        ...chaos.object(type, 5, wild),
        metadata: { name: 'x', labels: { a: 'b' } },
        ...headOf(type),
      });
      const first = attempt(() => canonicalize(decodeObject(next(), type).object, type));
      if (first === undefined) continue;
      const options = { type, manager: 'm', apiVersion: 'v1', subresource: '', nowMs: 0 };
      const live = withManagedFields(first, recordUpdate({ ...options, live: undefined, next: first }));
      const frozen = JSON.stringify(live);
      attempt(() => applyStrategicMerge(live, next(), type));
      attempt(() => applyJsonPatch(live, [{ op: 'copy', from: '/metadata', path: '/spec' }, chaos.junk()]));
      const config = next();
      if (attempt(() => decodeObject(config, type)) !== undefined) {
        const result = attempt(() =>
          applyConfiguration({ ...options, live, config: config as KubeObject, force: true }),
        );
        if (result !== undefined) {
          applied++;
          const repeat = applyConfiguration({
            ...options,
            live: result,
            config: config as KubeObject,
            force: true,
            nowMs: 9000,
          });
          expect(JSON.stringify(repeat)).toBe(JSON.stringify(result));
        }
      }
      expect(JSON.stringify(live)).toBe(frozen);
    }
    expect(applied).toBeGreaterThan(20);
  });
});

it('random protobuf is refused with a 400, whatever it holds', () => {
  const chaos = new Chaos(5);
  const pod = builtinTypes().typeOf({ group: '', version: 'v1', kind: 'Pod' })!;
  const sample = encodeProtobuf(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x', labels: { a: 'b' } },
      spec: { containers: [{ name: 'a' }] },
    },
    pod,
  );
  for (let round = 0; round < 3000; round++) {
    const bytes = sample.slice(0, chaos.chance(0.3) ? Math.floor(chaos.next() * sample.length) : sample.length);
    for (let flips = 0; flips < 3; flips++) {
      bytes[4 + Math.floor(chaos.next() * (bytes.length - 4))] = Math.floor(chaos.next() * 256);
    }
    attempt(() => decodeProtobuf(bytes, () => pod));
  }
});
