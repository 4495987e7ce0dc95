/**
 * Runs `task` `count` times in batches of 1, 2, 4 ...: when the first fails (a quota, a webhook), the others are not even tried. All of a
 * batch run at once; answers how many succeeded and the first error.
 */
export async function runSlowStart(
  count: number,
  task: (index: number) => Promise<void>,
): Promise<{ readonly succeeded: number; readonly error: unknown }> {
  let succeeded = 0;
  for (let batch = 1; succeeded < count; batch *= 2) {
    const first = succeeded;
    const width = Math.min(batch, count - first);
    const results = await Promise.allSettled(Array.from({ length: width }, (_, index) => task(first + index)));
    const failed = results.find((result) => result.status === 'rejected');
    succeeded += results.filter((result) => result.status === 'fulfilled').length;
    if (failed !== undefined) return { succeeded, error: failed.reason };
  }
  return { succeeded, error: undefined };
}
