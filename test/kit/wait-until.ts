/**
 * Resolves with the first value that is neither undefined nor false; throws after `timeoutMs` with what was waited for and the last error.
 * Tests wait on conditions, never for a time.
 */
export async function waitUntil<T>(
  what: string,
  timeoutMs: number,
  condition: () => T | Promise<T>,
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      lastError = undefined;
    } catch (err) {
      lastError = err;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`, { cause: lastError });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
