/**
 * A set of field paths in the shape of `fieldsV1`: each key is a path element (`f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`), each value
 * what lies below it. An element belongs to the set itself when its value is empty or holds the key `.`.
 * Sets are immutable by convention: operations share unchanged parts.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** A set under construction. */
export interface MutableFieldSet {
  [element: string]: FieldSet;
}

const LEAF: FieldSet = Object.freeze({});
const SELF = '.';

/** The one empty set; also what a member without anything below it looks like. */
export const emptyFieldSet: FieldSet = LEAF;

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

/** Whether the element whose value this is belongs to the set itself. */
export function isMember(below: FieldSet | undefined): boolean {
  return below !== undefined && (SELF in below || isEmptySet(below));
}

/** Marks what is built for one element as a member and closes it; undefined when nothing is in it. */
export function closeElement(below: MutableFieldSet | undefined, member: boolean): FieldSet | undefined {
  if (below === undefined || isEmptySet(below)) return member ? LEAF : undefined;
  if (!member) return below;
  return { [SELF]: LEAF, ...below };
}

/** What will lie below an element; filled in place and then sealed. */
export function openElement(member: boolean): MutableFieldSet {
  return member ? { [SELF]: LEAF } : {};
}

/** The element's value once everything below it was added; undefined when neither it nor anything below is in the set. */
export function sealElement(below: MutableFieldSet): FieldSet | undefined {
  for (const element in below) if (element !== SELF) return below;
  return SELF in below ? LEAF : undefined;
}

type Combine = (a: FieldSet | undefined, b: FieldSet | undefined) => FieldSet | undefined;

export function unionOf(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  const result: MutableFieldSet = {};
  for (const element of Object.keys(a)) {
    if (element !== SELF) result[element] = unionElement(a[element], b[element])!;
  }
  for (const element of Object.keys(b)) {
    if (element !== SELF && !(element in a)) result[element] = b[element]!;
  }
  return result;
}

const unionElement: Combine = (a, b) => {
  if (a === undefined || b === undefined) return a ?? b;
  return closeElement(withoutSelf(unionOf(withoutSelf(a), withoutSelf(b))), isMember(a) || isMember(b));
};

/** Members of `a` that are not members of `b`, path by path: owning a parent says nothing about its children. */
export function differenceOf(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  const result: MutableFieldSet = {};
  for (const element of Object.keys(a)) {
    if (element === SELF) continue;
    const own = a[element]!;
    const other = b[element];
    const rest =
      other === undefined
        ? own
        : closeElement(differenceOf(withoutSelf(own), withoutSelf(other)), isMember(own) && !isMember(other));
    if (rest !== undefined) result[element] = rest;
  }
  return result;
}

/** Members of `a` neither in `b` nor below a member of `b`. */
export function recursiveDifferenceOf(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(b)) return a;
  const result: MutableFieldSet = {};
  for (const element of Object.keys(a)) {
    if (element === SELF) continue;
    const own = a[element]!;
    const other = b[element];
    if (isMember(other)) continue;
    const rest =
      other === undefined ? own : closeElement(recursiveDifferenceOf(withoutSelf(own), other), isMember(own));
    if (rest !== undefined) result[element] = rest;
  }
  return result;
}

export function intersectionOf(a: FieldSet, b: FieldSet): FieldSet {
  const result: MutableFieldSet = {};
  for (const element of Object.keys(a)) {
    const own = a[element]!;
    const other = b[element];
    if (element === SELF || other === undefined) continue;
    const common = closeElement(intersectionOf(withoutSelf(own), withoutSelf(other)), isMember(own) && isMember(other));
    if (common !== undefined) result[element] = common;
  }
  return result;
}

/** Everything below an element, its own membership apart. */
export function withoutSelf(set: FieldSet): FieldSet {
  if (!(SELF in set)) return set;
  const { [SELF]: _, ...rest } = set;
  return rest;
}

export function equalSets(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((element) => element in b && equalSets(a[element]!, b[element]!));
}

/** A set of named fields given as dotted paths: `['status', 'metadata.labels']`. */
export function setOfPaths(paths: readonly string[]): FieldSet {
  let set: FieldSet = LEAF;
  for (const path of paths) {
    const elements = path.split('.').reverse();
    set = unionOf(
      set,
      elements.reduce<FieldSet>((below, name) => ({ [`f:${name}`]: below }), LEAF),
    );
  }
  return set;
}

/** Every member, as Kubernetes prints paths: `.spec.containers[name="x"].image`. In the order of the set. */
export function renderPaths(set: FieldSet, prefix = ''): string[] {
  const paths: string[] = [];
  for (const element of Object.keys(set).sort()) {
    if (element === SELF) continue;
    const path = `${prefix}${renderElement(element)}`;
    if (isMember(set[element])) paths.push(path);
    paths.push(...renderPaths(set[element]!, path));
  }
  return paths;
}

/** One element as it stands in a printed path. */
export function renderElement(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case 'f':
      return `.${rest}`;
    case 'k': {
      const key = JSON.parse(rest) as Record<string, unknown>;
      const parts = Object.keys(key).map((name) => `${name}=${JSON.stringify(key[name])}`);
      return `[${parts.join(',')}]`;
    }
    case 'v':
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}
