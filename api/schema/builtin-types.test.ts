import { describe, expect, it } from 'vitest';
import data from './builtin-types.json' with { type: 'json' };
import { builtinTypes } from './builtin-types.ts';
import { alwaysWritten, pointerScalars, valueStructs } from './pointer-fields.ts';

const types = builtinTypes();
const field = (kind: string, ...path: string[]) => {
  const group = kind === 'Deployment' ? 'apps' : '';
  let type = types.typeOf({ group, version: 'v1', kind });
  for (const name of path.slice(0, -1)) type = type?.fields.get(name)?.type;
  const found = type?.fields.get(path.at(-1)!);
  if (found === undefined) throw new Error(`no field ${path.join('.')}`);
  return found;
};

describe('the built-in type table', () => {
  it('unpacks every type, and every message field finds its type', () => {
    const lost = data.names.flatMap((name) =>
      [...types.byName(name)!.fields.values()].filter((one) => one.kind === 'message' && one.type === undefined),
    );
    expect(lost).toEqual([]);
  });

  it('puts apiVersion, kind and metadata first and the rest by name', () => {
    const service = types.typeOf({ group: '', version: 'v1', kind: 'Service' })!;
    expect([...service.fields.keys()]).toEqual(['apiVersion', 'kind', 'metadata', 'spec', 'status']);
    expect([...field('Service', 'metadata').type!.fields.keys()].slice(0, 3)).toEqual([
      'resourceVersion',
      'annotations',
      'creationTimestamp',
    ]);
  });

  it('finds lists and kinds that belong to every group', () => {
    const nameOf = (group: string, version: string, kind: string) =>
      types.typeOf({ group, version, kind })?.name.split('.').at(-1);
    expect(nameOf('apps', 'v1', 'DeploymentList')).toBe('DeploymentList');
    expect(nameOf('batch', 'v1', 'DeleteOptions')).toBe('DeleteOptions');
    expect(nameOf('', 'v1', 'CreateOptions')).toBe('CreateOptions');
    expect(nameOf('', 'v1', 'Nonsense')).toBeUndefined();
  });

  it('knows how lists merge', () => {
    expect(field('Pod', 'spec', 'containers', 'ports')).toMatchObject({
      listType: 'map',
      listMapKeys: ['containerPort', 'protocol'],
      patchStrategies: ['merge'],
      patchMergeKey: 'containerPort',
    });
    expect(field('Pod', 'spec', 'nodeSelector').mapType).toBe('atomic');
    expect(field('Deployment', 'spec', 'strategy').patchStrategies).toEqual(['retainKeys']);
    expect(field('Pod', 'metadata', 'finalizers')).toMatchObject({ listType: 'set', patchStrategies: ['merge'] });
  });

  const omit: [string, string[], string][] = [
    ['Deployment', ['spec', 'replicas'], 'nil'],
    ['Deployment', ['spec', 'paused'], 'zero'],
    ['Deployment', ['status'], 'never'],
    ['Pod', ['spec', 'containers', 'name'], 'never'],
    ['Pod', ['spec', 'containers', 'resources'], 'never'],
    ['Pod', ['spec', 'containers', 'securityContext'], 'nil'],
    ['Pod', ['spec', 'securityContext'], 'nil'],
    ['ConfigMap', ['immutable'], 'nil'],
    ['ConfigMap', ['data'], 'zero'],
  ];
  for (const [kind, path, rule] of omit) {
    it(`omits ${kind}.${path.join('.')}: ${rule}`, () => expect(field(kind, ...path).omit).toBe(rule));
  }
});

it('pointer-fields names only fields that exist', () => {
  const fieldsByType = new Map<string, Set<string>>();
  for (const name of data.names) {
    const parts = name.split('.');
    for (const key of [
      parts.at(-1)!,
      parts
        .slice(-3)
        .filter((_, index) => index !== 1)
        .join('.'),
    ]) {
      const known = fieldsByType.get(key) ?? new Set();
      for (const one of types.byName(name)!.fields.keys()) known.add(one);
      fieldsByType.set(key, known);
    }
  }
  const wrong = [pointerScalars, valueStructs, alwaysWritten].flatMap((table) =>
    Object.entries(table).flatMap(([type, names]) =>
      names
        .split(' ')
        .flatMap((name) => (type === '*' || fieldsByType.get(type)?.has(name) ? [] : [`${type}.${name}`])),
    ),
  );
  expect(wrong).toEqual([]);
});
