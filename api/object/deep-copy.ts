import { setOwn } from './own-property.ts';

/** A copy of a JSON value that shares nothing with it. Own `__proto__` keys stay plain data. */
export function deepCopy<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const list = new Array<unknown>(value.length);
    for (let index = 0; index < value.length; index++) list[index] = copy(value[index]);
    return list;
  }
  const source = value as Record<string, unknown>;
  const target: Record<string, unknown> = {};
  for (const key of Object.keys(source)) setOwn(target, key, copy(source[key]));
  return target;
}
