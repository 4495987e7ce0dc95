import { deepEqual } from '#api/object/deep-equal.ts';
import type { JsonObject } from '#api/object/json.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';

/** Characters of generated name suffixes: no vowels and none that look alike, so that no words come about. */
const SUFFIX_CHARS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const MAX_GENERATED_BASE = 63 - SUFFIX_LENGTH;

/** `random` is uniform in [0, 1). */
export function generateName(base: string, random: () => number): string {
  let suffix = '';
  for (let i = 0; i < SUFFIX_LENGTH; i++) suffix += SUFFIX_CHARS[Math.floor(random() * SUFFIX_CHARS.length)];
  return base.slice(0, MAX_GENERATED_BASE) + suffix;
}

/** Fields of metadata that only the server sets. */
const SYSTEM_FIELDS = [
  'uid',
  'creationTimestamp',
  'generation',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'resourceVersion',
  'managedFields',
] as const satisfies readonly (keyof ObjectMeta)[];

/** Takes away what a client may not say about a new object. */
export function clearSystemFields(metadata: ObjectMeta): void {
  // Asked first: a deletion, even of nothing, is a call into the engine.
  for (const field of SYSTEM_FIELDS) if (field in metadata) delete metadata[field];
}

/** What the server knows of an object stays as it was, whatever the client sent. */
export function carrySystemFields(metadata: ObjectMeta, old: ObjectMeta): void {
  for (const field of SYSTEM_FIELDS) {
    if (old[field] === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: old[field] });
  }
  metadata.name = old.name;
  if (old.namespace === undefined) delete metadata.namespace;
  else metadata.namespace = old.namespace;
  if (old.generateName !== undefined) metadata.generateName = old.generateName;
}

/**
 * True when anything but metadata and, where it is written apart, status differs: the change that a generation counts. Compares canonical
 * objects.
 */
export function isDesiredStateChanged(object: KubeObject, old: KubeObject, hasStatus: boolean): boolean {
  return !deepEqual(desiredStateOf(object, hasStatus), desiredStateOf(old, hasStatus));
}

function desiredStateOf(object: KubeObject, hasStatus: boolean): object {
  const { apiVersion: _v, kind: _k, metadata: _m, status, ...rest } = object;
  return hasStatus ? rest : { ...rest, status };
}

/**
 * Puts the old object's own values in place of equal ones in `object`: its top-level fields and those of its metadata. Most writes change one
 * of them, and whoever comes later sees at a glance (`===`) what there is nothing to do for. `object` holds shared values afterwards: its
 * fields may still be replaced, but nothing below them changed.
 */
export function shareUnchanged(object: KubeObject, old: KubeObject): void {
  shareEqualFields(object, old);
  shareEqualFields(object.metadata, old.metadata);
}

function shareEqualFields(target: object, source: object): void {
  const [fields, old] = [target as JsonObject, source as JsonObject];
  for (const name of Object.keys(fields)) {
    if (typeof fields[name] === 'object' && deepEqual(fields[name], old[name])) fields[name] = old[name];
  }
}

/** A private copy that may be changed in place. */
export function copyObject(object: unknown): KubeObject {
  return structuredCopy(object) as KubeObject;
}

/** For JSON values this is several times faster than structuredClone. */
function structuredCopy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(structuredCopy);
  const copy: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value)) {
    if (key === '__proto__')
      Object.defineProperty(copy, key, {
        value: structuredCopy(field),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else copy[key] = structuredCopy(field);
  }
  return copy;
}
