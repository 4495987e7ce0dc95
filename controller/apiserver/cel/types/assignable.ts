import { type CelType, DYN, isDyn, listOf, mapOf, optionalOf, typeOf } from './cel-type.ts';

/** What the type variables met so far stand for. A try that fails leaves nothing behind. */
export class Substitution {
  readonly #bindings = new Map<string, CelType>();
  /** Names in the order in which they were bound. */
  readonly #trail: string[] = [];

  get(name: string): CelType | undefined {
    return this.#bindings.get(name);
  }

  bind(name: string, type: CelType): void {
    this.#bindings.set(name, type);
    this.#trail.push(name);
  }

  /** Runs `attempt`; what it bound is forgotten when it answers false. */
  try(attempt: () => boolean): boolean {
    const mark = this.#trail.length;
    if (attempt()) return true;
    while (this.#trail.length > mark) this.#bindings.delete(this.#trail.pop() as string);
    return false;
  }
}

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

/** True when a value of type `from` may stand where `to` is wanted; binds variables so that it is. */
export function assign(substitution: Substitution, from: CelType, to: CelType): boolean {
  return substitution.try(() => unify(substitution, from, to));
}

/** All pairs at once, or nothing. */
export function assignAll(substitution: Substitution, from: readonly CelType[], to: readonly CelType[]): boolean {
  if (from.length !== to.length) return false;
  return substitution.try(() => from.every((type, index) => unify(substitution, type, to[index] as CelType)));
}

function unify(substitution: Substitution, from: CelType, to: CelType): boolean {
  const a = resolve(substitution, from);
  const b = resolve(substitution, to);
  if (b.kind === 'param') return (a.kind === 'param' && a.name === b.name) || bind(substitution, b.name, a);
  if (a.kind === 'param') return bind(substitution, a.name, b);
  return isDyn(a) || isDyn(b) || unifyShapes(substitution, a, b);
}

function bind(substitution: Substitution, name: string, type: CelType): boolean {
  if (occursIn(substitution, name, type)) return false;
  substitution.bind(name, type);
  return true;
}

function unifyShapes(substitution: Substitution, a: CelType, b: CelType): boolean {
  // An object may be null wherever its type allows one to write null.
  if (a.kind === 'simple' && a.name === 'null') return isNullable(b);
  if (b.kind === 'simple' && b.name === 'null') return isNullable(a);
  if (a.kind === 'list' && b.kind === 'list') return unify(substitution, a.element, b.element);
  if (a.kind === 'optional' && b.kind === 'optional') return unify(substitution, a.value, b.value);
  if (a.kind === 'type' && b.kind === 'type') return true;
  if (a.kind === 'map' && b.kind === 'map') {
    return unify(substitution, a.key, b.key) && unify(substitution, a.value, b.value);
  }
  return a.kind === b.kind && 'name' in a && 'name' in b && a.name === b.name;
}

function isNullable(type: CelType): boolean {
  if (type.kind === 'simple') return type.name === 'null' || type.name === 'timestamp' || type.name === 'duration';
  return type.kind === 'object' || type.kind === 'opaque';
}
