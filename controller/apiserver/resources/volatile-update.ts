import { isJsonObject, type JsonObject } from '#api/object/json.ts';

/** Bookkeeping that changes with every write and says nothing of its own. */
const ALWAYS_VOLATILE = ['metadata.resourceVersion', 'metadata.managedFields.*.time'];

/** A tree of the paths to skip; `*` stands for any list index or map key. */
interface SkipTree {
  readonly [segment: string]: SkipTree | true;
}

function treeOf(paths: readonly string[]): SkipTree {
  const root: Record<string, unknown> = {};
  for (const path of paths) {
    const segments = path.split('.');
    const last = segments.pop() as string;
    let node = root;
    for (const segment of segments) {
      node[segment] ??= {};
      node = node[segment] as Record<string, unknown>;
    }
    node[last] = true;
  }
  return root as SkipTree;
}

const EMPTY: SkipTree = {};

function equalBeside(a: unknown, b: unknown, skip: SkipTree): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    const below = skip['*'];
    return below === true || a.every((item, i) => equalBeside(item, b[i], below ?? EMPTY));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const below = skip[key] ?? skip['*'];
    if (below !== true && !equalBeside(a[key], b[key], below ?? EMPTY)) return false;
  }
  return true;
}

/** `isVolatileUpdate` for a kind whose volatile fields lie at `paths` (`status.conditions.*.lastHeartbeatTime`). */
export function volatileFields(paths: readonly string[]): (old: unknown, object: unknown) => boolean {
  const fields = treeOf(paths);
  const skip = treeOf([...ALWAYS_VOLATILE, ...paths]);
  const skipOwners = treeOf(['metadata.resourceVersion', 'metadata.managedFields', ...paths]);
  return (old, object) => {
    if (equalBeside(old, object, skip)) return true;
    // The first heartbeat by somebody makes them the owner of the field: that is as volatile as what they own.
    return equalBeside(old, object, skipOwners) && equalBeside(ownersOf(old, fields), ownersOf(object, fields), TIMES);
  };
}

const TIMES: SkipTree = { '*': { time: true } };

/** The entries of managedFields without their share in the fields of the tree; those that hold nothing else are left out. */
function ownersOf(object: unknown, fields: SkipTree): unknown[] {
  const metadata = isJsonObject(object) ? object.metadata : undefined;
  const entries = isJsonObject(metadata) && Array.isArray(metadata.managedFields) ? metadata.managedFields : [];
  return entries.flatMap((entry) => {
    if (!isJsonObject(entry) || !isJsonObject(entry.fieldsV1)) return [entry];
    const left = setWithout(entry.fieldsV1, fields);
    return left === undefined ? [] : [{ ...entry, fieldsV1: left }];
  });
}

/** Of a FieldsV1 set (`f:` names a field, `k:`, `v:` and `i:` an item); undefined where nothing is left that was there. */
function setWithout(set: JsonObject, fields: SkipTree): JsonObject | undefined {
  const left: JsonObject = {};
  for (const [key, value] of Object.entries(set)) {
    const below = key.startsWith('f:') ? fields[key.slice(2)] : fields['*'];
    if (below === true) continue;
    const inner = below === undefined || !isJsonObject(value) ? value : setWithout(value, below);
    if (inner !== undefined) left[key] = inner;
  }
  return Object.keys(left).length === 0 && Object.keys(set).length > 0 ? undefined : left;
}
