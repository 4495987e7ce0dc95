import { describe, expect, test } from 'vitest';
import { seededRandom } from '#base/seeded-random.ts';
import { canonicalize } from '../codec/canonical.ts';
import { canonicalizeGiven } from '../codec/canonical-given.ts';
import { isConflict } from '../object/api-error.ts';
import { deepCopy } from '../object/deep-copy.ts';
import { deepEqual } from '../object/deep-equal.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { fieldsOf } from './compare-fields.ts';
import { equalSets, type FieldSet, isMember, recursiveDifferenceOf, setOfPaths, withoutSelf } from './field-set.ts';
import { deducedShape, type FieldShape, keyElement, shapeOf, structShape, valueElement } from './field-shape.ts';
import { applyJsonPatch } from './json-patch.ts';
import { recordUpdate, setOfEntry, withManagedFields } from './managed-fields.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyConfiguration } from './server-side-apply.ts';
import { applyStrategicMerge } from './strategic-merge.ts';
import { ObjectGenerator } from './testing/random-object.ts';
import { strategicDiff } from './testing/strategic-diff.ts';

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = 60;

const KINDS = [
  ['', 'v1', 'Pod'],
  ['', 'v1', 'Service'],
  ['', 'v1', 'ConfigMap'],
  ['', 'v1', 'Node'],
  ['', 'v1', 'PersistentVolumeClaim'],
  ['apps', 'v1', 'Deployment'],
  ['apps', 'v1', 'StatefulSet'],
  ['batch', 'v1', 'CronJob'],
  ['networking.k8s.io', 'v1', 'Ingress'],
  ['networking.k8s.io', 'v1', 'NetworkPolicy'],
  ['autoscaling', 'v2', 'HorizontalPodAutoscaler'],
  ['rbac.authorization.k8s.io', 'v1', 'ClusterRole'],
  ['admissionregistration.k8s.io', 'v1', 'MutatingWebhookConfiguration'],
] as const;

interface Kind {
  readonly name: string;
  readonly type: TypeDef;
  readonly apiVersion: string;
  readonly kind: string;
}

const kinds: readonly Kind[] = KINDS.map(([group, version, kind]) => {
  const type = builtinTypes().typeOf({ group, version, kind });
  if (type === undefined) throw new Error(`no type of ${kind}`);
  return { name: kind, type, apiVersion: group === '' ? version : `${group}/${version}`, kind };
});

/** Each round has a seed of its own, so that one that fails can be had alone. */
function eachRound(run: (generator: ObjectGenerator, note: string) => void): void {
  for (let round = 0; round < ROUNDS; round++) {
    const note = `seed ${seed}, round ${round}`;
    run(new ObjectGenerator(seededRandom(seed * 7919 + round)), note);
  }
}

const asJson = (object: KubeObject) => object as unknown as JsonObject;

describe.each(kinds)(`patches of a $name (seed ${seed})`, (kind) => {
  const { type } = kind;
  const random = (generator: ObjectGenerator) => canonicalize(generator.object(type, kind), type);

  test('the strategic difference of two objects makes one into the other', () => {
    eachRound((generator, note) => {
      const from = random(generator);
      const to = generator.chance(0.5) ? random(generator) : canonicalize(generator.edited(from, type), type);
      const copy = deepCopy(from);
      const patch = strategicDiff(asJson(from), asJson(to), type);
      expect(applyStrategicMerge(from, patch, type), note).toEqual(to);
      expect(from, `${note}: the input is left alone`).toEqual(copy);
    });
  });

  test('a strategic patch done twice does nothing more', () => {
    eachRound((generator, note) => {
      const [from, to] = [random(generator), random(generator)];
      const once = applyStrategicMerge(from, strategicDiff(asJson(from), asJson(to), type), type);
      expect(applyStrategicMerge(once, strategicDiff(asJson(from), asJson(to), type), type), note).toEqual(once);
    });
  });

  test('a merge patch of an object into anything contains it, and done twice does nothing more', () => {
    eachRound((generator, note) => {
      const [from, patch] = [random(generator), random(generator)];
      const once = applyMergePatch(from, patch);
      expect(applyMergePatch(once, patch), note).toEqual(once);
      expect(containsMerged(once, patch), note).toBe(true);
    });
  });

  test('a JSON patch that adds and removes again restores the object', () => {
    eachRound((generator, note) => {
      const [object, other] = [random(generator), random(generator)];
      const added = applyJsonPatch(object, [{ op: 'add', path: '/metadata/extra', value: other }]);
      expect(applyJsonPatch(added, [{ op: 'remove', path: '/metadata/extra' }]), note).toEqual(object);
    });
  });
});

/** A merge patch replaces lists and goes into objects. */
function containsMerged(object: unknown, patch: unknown): boolean {
  if (!isJsonObject(patch)) return deepEqual(object, patch);
  return isJsonObject(object) && Object.keys(patch).every((key) => containsMerged(object[key], patch[key]));
}

describe.each(kinds)(`server-side apply of a $name (seed ${seed})`, (kind) => {
  const { type, apiVersion } = kind;
  const nowMs = Date.UTC(2026, 0, 1);
  const apply = (live: KubeObject | undefined, config: KubeObject, manager: string, force = true) =>
    applyConfiguration({ live, config, type, manager, force, apiVersion, subresource: '', nowMs });
  const update = (live: KubeObject, wanted: KubeObject, manager: string) => {
    const next = canonicalize(
      { ...wanted, metadata: { ...wanted.metadata, managedFields: undefined } } as KubeObject,
      type,
    );
    return withManagedFields(next, recordUpdate({ live, next, type, manager, apiVersion, subresource: '', nowMs }));
  };
  /** Nobody owns a status by the main resource, so none is applied. */
  const config = (generator: ObjectGenerator): KubeObject => {
    const { status: _, ...rest } = withoutEmpty(generator.object(type, kind)) as JsonObject;
    return rest as KubeObject;
  };
  const edited = (generator: ObjectGenerator, live: KubeObject) =>
    withoutEmpty(generator.edited(withoutManagers(live), type)) as KubeObject;
  const bare = (): KubeObject => ({ apiVersion, kind: kind.kind, metadata: { name: 'x', namespace: 'n' } });
  /** What some appliers and updaters made of an object. */
  const lived = (generator: ObjectGenerator): KubeObject => {
    let live = apply(undefined, config(generator), 'first');
    for (const manager of ['second', 'third']) {
      live = generator.chance(0.5)
        ? apply(live, config(generator), manager)
        : update(live, generator.edited(live, type), manager);
    }
    return live;
  };
  const ownedBy = (object: KubeObject, manager: string): FieldSet => {
    const entry = object.metadata.managedFields?.find((one) => one.manager === manager && one.operation === 'Apply');
    return entry === undefined ? {} : setOfEntry(entry);
  };

  test('done twice is done once', () => {
    eachRound((generator, note) => {
      const [live, wanted] = [lived(generator), config(generator)];
      const once = apply(live, wanted, 'me');
      expect(apply(once, wanted, 'me'), note).toBe(once);
      expect(apply(once, wanted, 'me', false), `${note}, unforced`).toBe(once);
    });
  });

  test('what was applied is there, and is owned', () => {
    eachRound((generator, note) => {
      const [live, wanted] = [lived(generator), config(generator)];
      const copy = deepCopy(live);
      const result = apply(live, wanted, 'me');
      const given = canonicalizeGiven(wanted, type);
      expect(missingIn(result, given, structShape(type), '').join('\n'), note).toBe('');
      const fields = recursiveDifferenceOf(fieldsOf(asJson(given), type), setOfPaths(['status']));
      expect(equalSets(ownedBy(result, 'me'), fields), note).toBe(true);
      expect(live, `${note}: the input is left alone`).toEqual(copy);
    });
  });

  test('what a manager no longer names goes, unless somebody else applied it', () => {
    eachRound((generator, note) => {
      let live = apply(undefined, config(generator), 'first');
      live = apply(live, config(generator), 'second');
      live = apply(live, generator.chance(0.5) ? config(generator) : edited(generator, live), 'me');
      const [mine, others] = [ownedBy(live, 'me'), [ownedBy(live, 'first'), ownedBy(live, 'second')]];
      const rest = apply(live, bare(), 'me');
      expect(ownedBy(rest, 'me'), note).toEqual({});
      const wrong: string[] = [];
      for (const path of leavesOf(mine)) {
        const isKept = others.some((set) => isOwned(set, path));
        const value = valueAt(rest, path, structShape(type));
        if (isKept ? value === undefined && !isZero(valueAt(live, path, structShape(type))) : !isZero(value)) {
          wrong.push(`${isKept ? 'lost' : 'left'} ${path.join(' ')}`);
        }
      }
      expect(wrong.join('\n'), note).toBe('');
      for (const manager of ['first', 'second'])
        expect(equalSets(ownedBy(rest, manager), ownedBy(live, manager)), `${note}: ${manager}`).toBe(true);
    });
  });

  test('unforced it changes nothing that others own: it is a conflict, or they own what they owned with the same values', () => {
    eachRound((generator, note) => {
      const [live, wanted] = [lived(generator), config(generator)];
      let result: KubeObject;
      try {
        result = apply(live, wanted, 'me', false);
      } catch (err) {
        expect(isConflict(err), note).toBe(true);
        return;
      }
      for (const manager of ['first', 'second', 'third']) {
        for (const path of leavesOf(ownedBy(live, manager)))
          expect(valueAt(result, path, structShape(type)), `${note}: ${path.join(' ')}`).toEqual(
            valueAt(live, path, structShape(type)),
          );
      }
    });
  });

  test('an updater owns what it changed, and nobody else does', () => {
    eachRound((generator, note) => {
      const live = lived(generator);
      const next = update(live, generator.edited(live, type), 'editor');
      const entries = next.metadata.managedFields ?? [];
      const own = entries.find(({ manager }) => manager === 'editor');
      if (own === undefined) return;
      for (const path of leavesOf(setOfEntry(own))) {
        expect(
          entries.filter((entry) => entry !== own && isOwned(setOfEntry(entry), path)).map(({ manager }) => manager),
          `${note}: ${path.join(' ')}`,
        ).toEqual([]);
      }
    });
  });
});

/** To name an empty list or map is to own the whole of it: a rule of its own, which would blur the others. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).map(([key, below]) => [key, withoutEmpty(below)] as const);
  const full = kept.filter(([, below]) => below !== undefined && !isEmptyContainer(below));
  return full.length === 0 ? undefined : Object.fromEntries(full);
}

const isEmptyContainer = (value: unknown) => Array.isArray(value) && value.length === 0;

function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Paths of members without anything below them. */
function leavesOf(set: FieldSet, path: readonly string[] = []): string[][] {
  return Object.entries(withoutSelf(set)).flatMap(([element, below]) => {
    const here = [...path, element];
    return Object.keys(withoutSelf(below)).length === 0 ? [here] : leavesOf(below, here);
  });
}

function isOwned(set: FieldSet, path: readonly string[]): boolean {
  let below: FieldSet | undefined = set;
  for (const element of path) below = below?.[element];
  return isMember(below);
}

function shapeBelow(shape: FieldShape, name: string): FieldShape {
  if (shape.kind === 'map') return shape.element;
  const field = shape.kind === 'struct' ? shape.type.fields.get(name) : undefined;
  return field === undefined ? deducedShape : shapeOf(field);
}

/** What lies at a path of field elements; undefined where nothing does. */
function valueAt(object: unknown, path: readonly string[], shape: FieldShape): unknown {
  const [element, ...rest] = path;
  if (element === undefined) return object;
  if (Array.isArray(object)) {
    const isKeyed = shape.kind === 'keyedList';
    const item = object.find((one) => (isKeyed ? keyElement(one, shape.keys) : valueElement(one)) === element);
    return valueAt(item, rest, isKeyed ? shape.element : deducedShape);
  }
  if (!isJsonObject(object)) return undefined;
  const name = element.slice(2);
  return valueAt(object[name], rest, shapeBelow(shape, name));
}

/** Go does not tell an absent value from its zero value: the canonical form leaves most of them out, and writes some. */
function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true;
  // A quantity that Go writes although nobody gave it.
  if (value === '0') return true;
  if (Array.isArray(value)) return value.length === 0;
  return isJsonObject(value) && Object.values(value).every(isZero);
}

/** Paths of what `config` names and `object` has not. */
function missingIn(object: unknown, config: unknown, shape: FieldShape, path: string): string[] {
  if (isZero(config)) return [];
  if (Array.isArray(config) && (shape.kind === 'keyedList' || shape.kind === 'set')) {
    const elementOf = (item: unknown) =>
      shape.kind === 'keyedList' ? keyElement(item, shape.keys) : valueElement(item);
    const there = new Map((Array.isArray(object) ? object : []).map((item) => [elementOf(item), item]));
    return config.flatMap((item) => {
      const at = `${path}${elementOf(item)}`;
      if (!there.has(elementOf(item))) return [at];
      return shape.kind === 'keyedList' ? missingIn(there.get(elementOf(item)), item, shape.element, at) : [];
    });
  }
  if (isJsonObject(config) && shape.kind !== 'leaf') {
    const there = isJsonObject(object) ? object : {};
    return Object.keys(config)
      .filter((name) => name !== 'apiVersion' && name !== 'kind')
      .flatMap((name) => missingIn(there[name], config[name], shapeBelow(shape, name), `${path}.${name}`));
  }
  return equalAsGo(object, config) ? [] : [path];
}

/** Equal but for zero values that one of them leaves out. */
function equalAsGo(a: unknown, b: unknown): boolean {
  if (isZero(a) && isZero(b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => equalAsGo(item, b[i]));
  if (!isJsonObject(a) || !isJsonObject(b)) return deepEqual(a, b);
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => equalAsGo(a[key], b[key]));
}
