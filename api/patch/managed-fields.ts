import { toTime } from '#base/clock.ts';
import { canonicalize } from '../codec/canonical.ts';
import type { KubeObject, ManagedFieldsEntry, ObjectMeta } from '../object/kube-object.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { compareFields } from './compare-fields.ts';
import {
  differenceOf,
  emptyFieldSet,
  type FieldSet,
  intersectionOf,
  isEmptySet,
  recursiveDifferenceOf,
  setOfPaths,
  unionOf,
} from './field-set.ts';

/** More managers than this that ever updated an object are merged into one, oldest first, so that entries cannot pile up. */
const MAX_UPDATE_MANAGERS = 10;
const OLD_UPDATES_MANAGER = 'ancient-changes';

export interface RecordUpdateOptions {
  /** Canonical object before the write; undefined for a create. */
  readonly live: KubeObject | undefined;
  /** Canonical object to be written; its own managedFields are the client's wish (absent: keep, `[{}]`: forget all). */
  readonly next: KubeObject;
  readonly type: TypeDef;
  /** At most 128 bytes; the server derives it from `fieldManager` or the User-Agent. */
  readonly manager: string;
  /** Version the client wrote in. */
  readonly apiVersion: string;
  /** Empty for the main resource. */
  readonly subresource: string;
  readonly nowMs: number;
  /**
   * Dotted paths that this endpoint never writes, so that it owns nothing there. Default: `status` for the main resource, `spec` for
   * the status subresource.
   */
  readonly resetFields?: readonly string[];
}

/**
 * managedFields after a write that is not an apply: the manager gains what it changed, everybody loses what was changed or removed.
 * Answers the same entries (by value) when no owned field differs, and undefined where the object is not tracked: an update of an
 * object without managedFields, or one whose client cleared them.
 */
export function recordUpdate(options: RecordUpdateOptions): ManagedFieldsEntry[] | undefined {
  const { live, next, type, nowMs } = options;
  if (live === undefined) return recordCreate(options);
  const entries = entriesInForce(live.metadata, next.metadata, options.subresource);
  if (entries.length === 0) return undefined;
  const { changed, removed } = compareFields(live, next, type);
  if (isEmptySet(changed) && isEmptySet(removed)) return [...entries];
  const touched = unionOf(changed, removed);
  const others = takeFrom(entries, touched);
  const taken = recursiveDifferenceOf(changed, resetFieldsOf(options));
  if (isEmptySet(taken)) return others;
  const own = updateEntry(options, taken, toTime(nowMs));
  const merged = mergeInto(others, own);
  return sortEntries(capUpdateManagers(merged));
}

function recordCreate(options: RecordUpdateOptions): ManagedFieldsEntry[] | undefined {
  const { next, type, nowMs } = options;
  const wished = next.metadata.managedFields;
  if (wished !== undefined && isReset(wished)) return undefined;
  const { changed } = compareFields(emptyObjectOf(type), next, type);
  const taken = recursiveDifferenceOf(changed, resetFieldsOf(options));
  const others = wished === undefined ? [] : takeFrom(wished, changed);
  if (isEmptySet(taken)) return others.length === 0 ? undefined : others;
  const own = updateEntry(options, taken, toTime(nowMs));
  return others.length === 0 ? [own] : sortEntries(mergeInto(others, own));
}

/** What Go's zero value of a kind looks like: structs held by value are there before anybody sets them, so that nobody owns them. */
export function emptyObjectOf(type: TypeDef): KubeObject {
  let empty = emptyObjects.get(type);
  if (empty === undefined) {
    empty = canonicalize({ apiVersion: '', kind: '', metadata: {} }, type);
    emptyObjects.set(type, empty);
  }
  return empty;
}

const emptyObjects = new WeakMap<TypeDef, KubeObject>();

const STATUS_ONLY = setOfPaths(['status']);
const SPEC_ONLY = setOfPaths(['spec']);
const resetSets = new Map<string, FieldSet>();

export function resetFieldsOf(options: {
  readonly subresource: string;
  readonly type: TypeDef;
  readonly resetFields?: readonly string[];
}): FieldSet {
  if (options.resetFields === undefined) {
    if (options.subresource === 'status') return SPEC_ONLY;
    return options.type.hasPlainStatus === true ? emptyFieldSet : STATUS_ONLY;
  }
  const key = options.resetFields.join(',');
  let set = resetSets.get(key);
  if (set === undefined) {
    set = setOfPaths(options.resetFields);
    resetSets.set(key, set);
  }
  return set;
}

/** Clients that do not know managedFields must not delete them; `[{}]` is the way to say so on purpose. */
function entriesInForce(live: ObjectMeta, next: ObjectMeta, subresource: string): readonly ManagedFieldsEntry[] {
  const wished = next.managedFields ?? [];
  if (subresource !== '') return live.managedFields ?? [];
  if (isReset(wished)) return [];
  return wished.length === 0 ? (live.managedFields ?? []) : wished;
}

function isReset(entries: readonly ManagedFieldsEntry[]): boolean {
  return entries.length === 1 && Object.values(entries[0]!).every((value) => value === undefined || value === '');
}

export function setOfEntry(entry: ManagedFieldsEntry): FieldSet {
  return (entry.fieldsV1 ?? {}) as FieldSet;
}

function withFields(entry: ManagedFieldsEntry, set: FieldSet): ManagedFieldsEntry {
  return { ...entry, fieldsV1: set };
}

/** The entries without these fields; entries left with nothing go. Untouched entries are the same objects. */
export function takeFrom(entries: readonly ManagedFieldsEntry[], fields: FieldSet): ManagedFieldsEntry[] {
  const rest: ManagedFieldsEntry[] = [];
  for (const entry of entries) {
    const own = setOfEntry(entry);
    const lost = intersectionOf(own, fields);
    if (isEmptySet(lost)) {
      rest.push(entry);
      continue;
    }
    const kept = differenceOf(own, lost);
    if (!isEmptySet(kept)) rest.push(withFields(entry, kept));
  }
  return rest;
}

function updateEntry(options: RecordUpdateOptions, set: FieldSet, time: string): ManagedFieldsEntry {
  return buildEntry({ ...options, operation: 'Update', set, time });
}

/** Fields in canonical order, so that entries need no further sorting. */
export function buildEntry(parts: {
  readonly apiVersion: string;
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly subresource: string;
  readonly set: FieldSet;
  readonly time: string;
}): ManagedFieldsEntry {
  const { apiVersion, manager, operation, subresource, set, time } = parts;
  const entry: ManagedFieldsEntry = { apiVersion, fieldsType: 'FieldsV1', fieldsV1: set, manager, operation };
  if (subresource !== '') entry.subresource = subresource;
  entry.time = time;
  return entry;
}

/** One identity: an applier keeps its entry across versions, an updater has one per version. */
export function isSameManager(a: ManagedFieldsEntry, b: ManagedFieldsEntry): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    (a.subresource ?? '') === (b.subresource ?? '') &&
    (a.operation === 'Apply' || a.apiVersion === b.apiVersion)
  );
}

function mergeInto(entries: readonly ManagedFieldsEntry[], own: ManagedFieldsEntry): ManagedFieldsEntry[] {
  const index = entries.findIndex((entry) => isSameManager(entry, own));
  if (index < 0) return [...entries, own];
  return entries.with(index, withFields(own, unionOf(setOfEntry(entries[index]!), setOfEntry(own))));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Kubernetes' order: by operation, then age, then name. */
export function sortEntries(entries: readonly ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  return [...entries].sort(
    (a, b) =>
      compareText(a.operation ?? '', b.operation ?? '') ||
      compareText(a.time ?? '', b.time ?? '') ||
      compareText(a.manager ?? '', b.manager ?? '') ||
      compareText(a.apiVersion ?? '', b.apiVersion ?? '') ||
      compareText(a.subresource ?? '', b.subresource ?? ''),
  );
}

/** Merges the oldest updaters, version by version, until no more than ten are left. */
function capUpdateManagers(entries: readonly ManagedFieldsEntry[]): readonly ManagedFieldsEntry[] {
  const updaters = entries.filter((entry) => entry.operation === 'Update');
  if (updaters.length <= MAX_UPDATE_MANAGERS) return entries;
  const oldestFirst = [...updaters].sort((a, b) => compareText(a.time ?? '', b.time ?? ''));
  const kept = new Set(entries);
  const buckets = new Map<string, ManagedFieldsEntry>();
  let count = updaters.length;
  for (const entry of oldestFirst) {
    if (count <= MAX_UPDATE_MANAGERS) break;
    const version = entry.apiVersion ?? '';
    const bucket = buckets.get(version);
    if (bucket === undefined) {
      buckets.set(version, entry);
      continue;
    }
    kept.delete(bucket);
    kept.delete(entry);
    const merged = buildEntry({
      apiVersion: version,
      manager: OLD_UPDATES_MANAGER,
      operation: 'Update',
      subresource: '',
      set: unionOf(setOfEntry(bucket), setOfEntry(entry)),
      time: entry.time ?? bucket.time ?? '',
    });
    kept.add(merged);
    buckets.set(version, merged);
    count--;
  }
  return [...kept];
}

/** A canonical object with these entries, every field in its place. Shares everything else with its input. */
export function withManagedFields(object: KubeObject, entries: readonly ManagedFieldsEntry[] | undefined): KubeObject {
  const metadata: Record<string, unknown> = {};
  let isPlaced = entries === undefined || entries.length === 0;
  for (const key of Object.keys(object.metadata)) {
    if (key === 'managedFields') continue;
    if (!isPlaced && key !== 'resourceVersion' && key > 'managedFields') {
      metadata.managedFields = entries;
      isPlaced = true;
    }
    metadata[key] = object.metadata[key as keyof ObjectMeta];
  }
  if (!isPlaced) metadata.managedFields = entries;
  return { ...object, metadata };
}
