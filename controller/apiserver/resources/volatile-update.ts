import { isJsonObject } from '#api/object/json.ts';

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
  const skip = treeOf([...ALWAYS_VOLATILE, ...paths]);
  return (old, object) => equalBeside(old, object, skip);
}
