/** The message of anything that was thrown, with its causes: `outer: inner`. A cause that only repeats what was said is left out. */
export function describeError(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  if (err.cause === undefined) return err.message;
  const cause = describeError(err.cause);
  // As gRPC's errors do: `2 UNKNOWN: <details>` beneath `<details>`.
  const isRepeated = err.message !== '' && (cause.endsWith(err.message) || err.message.endsWith(cause));
  return isRepeated ? err.message : `${err.message}: ${cause}`;
}

export function isAbortError(err: unknown): boolean {
  return err instanceof Error && (err.name === 'AbortError' || (err as { code?: unknown }).code === 'ABORT_ERR');
}
