/** Tests run several at a time, and on machines slower than ours. A deadline costs time only where a test fails anyway. */
const SLOWNESS = 3;

/**
 * Resolves with the first value that is neither undefined nor false; throws with what was waited for and the last error after `timeoutMs`,
 * which is ample on a machine of one's own, and as much again on busy ones. Tests wait on conditions, never for a time.
 */
export async function waitUntil<T>(
  what: string,
  timeoutMs: number,
  condition: () => T | Promise<T>,
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs * SLOWNESS;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      lastError = undefined;
    } catch (err) {
      lastError = err;
    }
    if (performance.now() > deadline)
      throw new Error(`waited ${timeoutMs * SLOWNESS} ms in vain: ${what}`, { cause: lastError });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
