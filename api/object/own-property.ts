/**
 * Sets an own property whatever its name: plain assignment of `__proto__` would change the prototype, and clients may choose names
 * (ConfigMap keys, raw JSON).
 */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    target[key] = value;
  }
}
