import { toTime } from '#base/clock.ts';
import { canonicalize } from '../codec/canonical.ts';
import { canonicalizeGiven } from '../codec/canonical-given.ts';
import { ApiError, badRequest, type StatusCause } from '../object/api-error.ts';
import { deepEqual } from '../object/deep-equal.ts';
import type { KubeObject, ManagedFieldsEntry } from '../object/kube-object.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { checkDuplicates } from './check-configuration.ts';
import { compareFields, fieldsOf } from './compare-fields.ts';
import {
  differenceOf,
  emptyFieldSet,
  equalSets,
  type FieldSet,
  intersectionOf,
  isEmptySet,
  recursiveDifferenceOf,
  renderPaths,
  unionOf,
} from './field-set.ts';
import { fieldsLastApplied, KUBECTL, withLastApplied } from './last-applied.ts';
import {
  buildEntry,
  emptyObjectOf,
  isSameManager,
  recordUpdate,
  resetFieldsOf,
  setOfEntry,
  sortEntries,
  takeFrom,
  withManagedFields,
} from './managed-fields.ts';
import { mergeConfiguration } from './merge-configuration.ts';
import { pruneFields } from './prune-fields.ts';

export interface ApplyOptions {
  /** Canonical object as stored; undefined when the apply creates it. */
  readonly live: KubeObject | undefined;
  /** The parsed body as the client sent it: validated by decodeObject, but neither defaulted nor canonical. */
  readonly config: KubeObject;
  readonly type: TypeDef;
  readonly manager: string;
  /** Takes over fields that other managers own with another value. */
  readonly force: boolean;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly nowMs: number;
  readonly resetFields?: readonly string[];
}

/**
 * Server-side apply: the object after the manager's configuration was merged in and what it no longer names was taken out,
 * canonical, with its managedFields. Answers `live` itself when nothing changes. Throws ApiError 409 Conflict naming every field that
 * another manager owns with another value (unless `force`), 400 for a configuration that carries managedFields or names a list item twice.
 */
export function applyConfiguration(options: ApplyOptions): KubeObject {
  const { live, type } = options;
  if ((options.config.metadata?.managedFields ?? []).length > 0) throw badRequest('metadata.managedFields must be nil');
  const config = canonicalizeGiven(options.config, type);
  checkDuplicates(config, type);
  const base = live ?? { ...emptyObjectOf(type), apiVersion: config.apiVersion, kind: config.kind, metadata: {} };
  const entries = entriesBefore(options);
  const former = entries.find((entry) => isOwn(entry, options));
  const others = entries.filter((entry) => entry !== former);
  const wanted = recursiveDifferenceOf(fieldsOf(config, type), resetFieldsOf(options));

  const merged = mergeConfiguration(base, config, type);
  const next = canonicalize(pruneRemoved(merged, { former, others, wanted, type }), type, live);
  const { changed, removed } = compareFields(base, next, type);
  // A zero value that the configuration names takes the field away, as the canonical form has none.
  const touched = unionOf(changed, intersectionOf(removed, wanted));
  const conflicts = options.force ? [] : conflictsOf(others, differenceOf(touched, takenOver(options)));
  if (conflicts.length > 0) throw conflictError(conflicts);

  const isSameOwnership = former !== undefined && equalSets(setOfEntry(former), wanted);
  const isUnchanged = isEmptySet(changed) && isEmptySet(removed) && live !== undefined && sameIdentity(live, next);
  const isNoOp = isUnchanged && (isSameOwnership || (former === undefined && isEmptySet(wanted)));
  if (isNoOp) return options.manager === KUBECTL ? withLastApplied(live, options.config) : live;
  const rest = takeFrom(others, unionOf(changed, removed));
  const told = options.manager === KUBECTL ? withLastApplied(next, options.config) : next;
  return withManagedFields(told, sortEntries(isEmptySet(wanted) ? rest : [...rest, ownEntry(options, wanted)]));
}

/** Whoever wrote an object whose managers are not known is one of them from its first apply on. */
const BEFORE_FIRST_APPLY = 'before-first-apply';

function entriesBefore(options: ApplyOptions): readonly ManagedFieldsEntry[] {
  const { live } = options;
  const entries = live?.metadata.managedFields ?? [];
  if (live === undefined || entries.length > 0) return entries;
  return recordUpdate({ ...options, live: undefined, next: live, manager: BEFORE_FIRST_APPLY }) ?? [];
}

/** Fields that kubectl applied itself before it did so on the server. */
function takenOver({ live, manager, type }: ApplyOptions): FieldSet {
  return live === undefined || manager !== KUBECTL ? emptyFieldSet : fieldsLastApplied(live, type);
}

function isOwn(entry: ManagedFieldsEntry, options: ApplyOptions): boolean {
  const own = { manager: options.manager, operation: 'Apply', subresource: options.subresource } as const;
  return isSameManager(entry, own);
}

function ownEntry(options: ApplyOptions, wanted: FieldSet): ManagedFieldsEntry {
  return buildEntry({ ...options, operation: 'Apply', set: wanted, time: toTime(options.nowMs) });
}

/** Fields that nobody owns (identity) can still differ, for example when a configuration names a uid. */
function sameIdentity(live: KubeObject, next: KubeObject): boolean {
  const { managedFields: _a, ...before } = live.metadata;
  const { managedFields: _b, ...after } = next.metadata;
  return deepEqual(before, after);
}

interface PruneInput {
  readonly former: ManagedFieldsEntry | undefined;
  readonly others: readonly ManagedFieldsEntry[];
  readonly wanted: FieldSet;
  readonly type: TypeDef;
}

/** Takes out what this manager applied before, no longer applies, and nobody else owns. */
function pruneRemoved(merged: KubeObject, { former, others, wanted, type }: PruneInput): KubeObject {
  if (former === undefined) return merged;
  const last = setOfEntry(former);
  const managed = others.reduce((set, entry) => unionOf(set, setOfEntry(entry)), wanted);
  return pruneFields(merged, type, last, managed);
}

interface ManagerConflict {
  readonly manager: ManagedFieldsEntry;
  readonly paths: readonly string[];
}

function conflictsOf(others: readonly ManagedFieldsEntry[], changed: FieldSet): ManagerConflict[] {
  if (changed === emptyFieldSet || isEmptySet(changed)) return [];
  return others
    .map((manager) => ({ manager, paths: renderPaths(intersectionOf(setOfEntry(manager), changed)) }))
    .filter(({ paths }) => paths.length > 0);
}

function describeManager(entry: ManagedFieldsEntry): string {
  const subresource = (entry.subresource ?? '') === '' ? '' : ` with subresource ${JSON.stringify(entry.subresource)}`;
  const using = entry.operation === 'Update' ? ` using ${entry.apiVersion}` : '';
  return `${JSON.stringify(entry.manager ?? '')}${subresource}${using}`;
}

/** 409 with one cause per field, worded so that `kubectl apply --server-side` prints it as for any cluster. */
function conflictError(conflicts: readonly ManagerConflict[]): ApiError {
  const causes: StatusCause[] = conflicts.flatMap(({ manager, paths }) =>
    paths.map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${describeManager(manager)}`,
      field,
    })),
  );
  return new ApiError(409, 'Conflict', conflictMessage(conflicts, causes), { causes });
}

function conflictMessage(conflicts: readonly ManagerConflict[], causes: readonly StatusCause[]): string {
  if (causes.length === 1) return `Apply failed with 1 conflict: ${causes[0]!.message}: ${causes[0]!.field}`;
  const lines = conflicts.flatMap(({ manager, paths }) => [
    `conflicts with ${describeManager(manager)}:`,
    ...paths.map((path) => `- ${path}`),
  ]);
  return `Apply failed with ${causes.length} conflicts: ${lines.join('\n')}`;
}
