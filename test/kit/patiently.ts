import { vi } from 'vitest';

/** Tries until it no longer throws, and rejects with what it threw last: `vi.waitFor`, whose own second is too short for a busy machine. */
export const patiently = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 60_000, interval: 5 });
