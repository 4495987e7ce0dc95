/**
 * Where the code of our threads is: beside this file in the sources, beside the bundle once built (a bundler does not follow
 * `new URL('./x.ts')`, so each thread is an entry of its own, see scripts/build.ts).
 */
const isBundled = import.meta.url.endsWith('.mjs');

export const diskThread = isBundled
  ? new URL('./sqlite-worker.mjs', import.meta.url)
  : new URL('./store/sqlite-worker.ts', import.meta.url);
export const brainThread = isBundled ? new URL('./brain.mjs', import.meta.url) : new URL('./brain.ts', import.meta.url);
