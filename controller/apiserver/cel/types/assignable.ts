import { type CelType, DYN, isDyn, listOf, mapOf, optionalOf, typeOf } from './cel-type.ts';

/** What the type variables met so far stand for. Never changed in place: a failed try leaves nothing behind. */
export type Substitution = ReadonlyMap<string, CelType>;

/** Follows variables to what they stand for, at the top only. */
function resolve(substitution: Substitution, type: CelType): CelType {
  let found = type;
  while (found.kind === 'param') {
    const next = substitution.get(found.name);
    if (next === undefined) return found;
    found = next;
  }
  return found;
}

/** `type` with all variables replaced; those that stand for nothing stay, or become dyn. */
export function substitute(substitution: Substitution, type: CelType, freeToDyn: boolean): CelType {
  const found = resolve(substitution, type);
  switch (found.kind) {
    case 'param':
      return freeToDyn ? DYN : found;
    case 'list':
      return listOf(substitute(substitution, found.element, freeToDyn));
    case 'map':
      return mapOf(substitute(substitution, found.key, freeToDyn), substitute(substitution, found.value, freeToDyn));
    case 'optional':
      return optionalOf(substitute(substitution, found.value, freeToDyn));
    case 'type':
      return typeOf(substitute(substitution, found.of, freeToDyn));
    default:
      return found;
  }
}

function occursIn(substitution: Substitution, name: string, type: CelType): boolean {
  const found = resolve(substitution, type);
  switch (found.kind) {
    case 'param':
      return found.name === name;
    case 'list':
      return occursIn(substitution, name, found.element);
    case 'map':
      return occursIn(substitution, name, found.key) || occursIn(substitution, name, found.value);
    case 'optional':
      return occursIn(substitution, name, found.value);
    case 'type':
      return occursIn(substitution, name, found.of);
    default:
      return false;
  }
}

/** The substitution under which a value of type `from` may stand where `to` is wanted, undefined when there is none. */
export function assign(substitution: Substitution, from: CelType, to: CelType): Substitution | undefined {
  const [a, b] = [resolve(substitution, from), resolve(substitution, to)];
  if (b.kind === 'param') {
    if (a.kind === 'param' && a.name === b.name) return substitution;
    if (occursIn(substitution, b.name, a)) return undefined;
    return new Map(substitution).set(b.name, a);
  }
  if (a.kind === 'param') {
    if (occursIn(substitution, a.name, b)) return undefined;
    return new Map(substitution).set(a.name, b);
  }
  if (isDyn(a) || isDyn(b)) return substitution;
  return assignShape(substitution, a, b);
}

function assignShape(substitution: Substitution, a: CelType, b: CelType): Substitution | undefined {
  // An object may be null wherever its type allows one to write null.
  if (a.kind === 'simple' && a.name === 'null') return isNullable(b) ? substitution : undefined;
  if (b.kind === 'simple' && b.name === 'null') return isNullable(a) ? substitution : undefined;
  if (a.kind === 'list' && b.kind === 'list') return assign(substitution, a.element, b.element);
  if (a.kind === 'optional' && b.kind === 'optional') return assign(substitution, a.value, b.value);
  if (a.kind === 'type' && b.kind === 'type') return substitution;
  if (a.kind === 'map' && b.kind === 'map') {
    const keys = assign(substitution, a.key, b.key);
    return keys === undefined ? undefined : assign(keys, a.value, b.value);
  }
  return a.kind === b.kind && 'name' in a && 'name' in b && a.name === b.name ? substitution : undefined;
}

function isNullable(type: CelType): boolean {
  if (type.kind === 'simple') return type.name === 'null' || type.name === 'timestamp' || type.name === 'duration';
  return type.kind === 'object' || type.kind === 'opaque';
}

/** All pairs at once, or nothing. */
export function assignAll(
  substitution: Substitution,
  from: readonly CelType[],
  to: readonly CelType[],
): Substitution | undefined {
  if (from.length !== to.length) return undefined;
  let result: Substitution | undefined = substitution;
  for (const [index, type] of from.entries()) {
    result = assign(result, type, to[index] as CelType);
    if (result === undefined) return undefined;
  }
  return result;
}
