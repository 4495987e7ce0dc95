import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isConflict } from '../object/api-error.ts';
import type { JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { applyConfiguration } from './server-side-apply.ts';
import { applyStrategicMerge } from './strategic-merge.ts';

const REFERENCE = join(import.meta.dirname, '../../../shared/reference/k8s-1.36-merge-keys.tsv');
const isThere = existsSync(REFERENCE);
if (!isThere) console.warn(`merge-semantics: skipped, there is no ${REFERENCE}`);

/** Where the facts and the served schema give different names to one package. */
const PACKAGES = [
  'io.k8s.api',
  'io.k8s.apimachinery.pkg.apis',
  'io.k8s.kube-aggregator.pkg.apis',
  'io.k8s.apiextensions-apiserver.pkg.apis',
];

/** Go embeds these: on the wire their fields stand in the type around them. */
const SERVED_AS: Readonly<Record<string, string>> = { EphemeralContainerCommon: 'EphemeralContainer' };

interface Row {
  readonly name: string;
  readonly type: TypeDef;
  readonly field: FieldDef;
  readonly strategies: readonly string[];
  readonly mergeKey: string;
  readonly listType: string;
  readonly listKeys: readonly string[];
}

function readRows(): Row[] {
  const lines = isThere ? readFileSync(REFERENCE, 'utf8').split('\n') : [];
  return lines.flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const [
      groupVersion = '',
      typeName = '',
      fieldName = '',
      strategy = '',
      mergeKey = '',
      listType = '',
      listKeys = '',
    ] = line.split('\t');
    const path = groupVersion.replace('/', '.');
    const served = SERVED_AS[typeName] ?? typeName;
    const type = PACKAGES.map((name) => builtinTypes().byName(`${name}.${path}.${served}`)).find(
      (one) => one !== undefined,
    );
    // Alpha and beta groups are not served; a type of them has no table. Discovery is no object that is applied.
    const field = type?.fields.get(fieldName);
    if (type === undefined || field === undefined || typeName.endsWith('Discovery')) return [];
    const split = (text: string) => (text === '' ? [] : text.split(','));
    return [
      {
        name: `${typeName}.${fieldName}`,
        type,
        field,
        strategies: split(strategy),
        mergeKey,
        listType,
        listKeys: split(listKeys),
      },
    ];
  });
}

const rows = readRows();
const lists = rows.filter(({ field }) => field.cardinality === 'list');

/** An item of a list: `index` decides its keys, `mark` what else it says, in the first plain field that is no key. */
function itemOf({ field, mergeKey, listKeys }: Row, index: number, mark: string): unknown {
  if (field.kind !== 'message') return field.kind === 'string' ? `value-${index}` : index;
  const item: JsonObject = {};
  for (const key of new Set([...listKeys, ...(mergeKey === '' ? [] : [mergeKey])])) {
    const { kind } = field.type?.fields.get(key) ?? { kind: 'string' };
    item[key] = kind === 'int32' || kind === 'int64' ? index : `key-${index}`;
  }
  const plain = [...(field.type?.fields.values() ?? [])].find(
    (one) => one.kind === 'string' && one.cardinality === 'one' && item[one.name] === undefined,
  );
  if (plain !== undefined) item[plain.name] = mark;
  return item;
}

describe.skipIf(!isThere)('lists merge as the facts of Kubernetes 1.36 say', () => {
  test('most of the facts concern types that are served', () => {
    expect(rows.length).toBeGreaterThan(300);
  });

  test('strategic merge patch merges by key or by value, or replaces', () => {
    const wrong = lists.flatMap((row) => {
      const [one, two] = [itemOf(row, 1, 'a'), itemOf(row, 2, 'a')];
      const { [row.field.name]: merged } = applyStrategicMerge(
        { [row.field.name]: [one] },
        { [row.field.name]: [two] },
        row.type,
      ) as Record<string, unknown[]>;
      const expected = row.strategies.includes('merge') ? 2 : 1;
      return merged?.length === expected ? [] : [`${row.name}: ${JSON.stringify(merged)}`];
    });
    expect(wrong).toEqual([]);
  });

  test('strategic merge patch finds an item by the key of the facts', () => {
    const wrong = lists.flatMap((row) => {
      if (!row.strategies.includes('merge') || row.mergeKey === '') return [];
      const { [row.field.name]: merged } = applyStrategicMerge(
        { [row.field.name]: [itemOf(row, 1, 'a'), itemOf(row, 2, 'a')] },
        { [row.field.name]: [itemOf(row, 1, 'b')] },
        row.type,
      ) as Record<string, unknown[]>;
      return merged?.length === 2 ? [] : [`${row.name}: ${JSON.stringify(merged)}`];
    });
    expect(wrong).toEqual([]);
  });

  test('server-side apply keeps the items of two managers, or sees one atomic field', () => {
    const wrong = lists.flatMap((row) => {
      const outcome = applyTwice(row);
      const expected = row.listType === 'map' || row.listType === 'set' ? 2 : 'conflict';
      return outcome === expected ? [] : [`${row.name} (${row.listType}): ${outcome}`];
    });
    expect(wrong).toEqual([]);
  });
});

/** Two managers apply an item each: how many there are, or a conflict. */
function applyTwice(row: Row): number | 'conflict' {
  // The type stands alone, as if it were a kind: what is above it does not matter to the list.
  const type: TypeDef = { ...row.type, fields: new Map([...row.type.fields, ...identity]) };
  const apply = (live: KubeObject | undefined, items: readonly unknown[], manager: string) =>
    applyConfiguration({
      live,
      config: { apiVersion: 'v1', kind: 'Test', metadata: { name: 'x' }, [row.field.name]: items } as KubeObject,
      type,
      manager,
      force: false,
      apiVersion: 'v1',
      subresource: 'none',
      nowMs: 0,
      resetFields: [],
    });
  const [one, two] = [itemOf(row, 1, 'a'), itemOf(row, 2, 'b')];
  const isAtomic = row.listType === 'atomic';
  try {
    const both = apply(apply(undefined, [one], 'one'), isAtomic ? [one, two] : [two], 'two');
    return (both[row.field.name] as unknown[]).length;
  } catch (err) {
    if (isConflict(err)) return 'conflict';
    throw err;
  }
}

/** apiVersion, kind and metadata, which every kind has. */
const identity = [...(builtinTypes().typeOf({ group: '', version: 'v1', kind: 'ConfigMap' })?.fields ?? [])].filter(
  ([name]) => ['apiVersion', 'kind', 'metadata'].includes(name),
);
