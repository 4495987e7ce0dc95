import { totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describeError } from '#base/errors.ts';
import type { FromResolver, ResolverSettings, ResolverThread } from './network/dns/resolver-messages.ts';

/** Beside this file in the sources, beside the bundle once built (scripts/build.ts has an entry per thread). */
const source = import.meta.url.endsWith('.mjs')
  ? new URL('./dns-thread.mjs', import.meta.url)
  : new URL('./dns-thread.ts', import.meta.url);

/**
 * The names of 10,000 Services need a few megabytes; those of headless Services grow with their pods, and a thread that ends for want of memory
 * would do so again and again. A limit and not a need: what is not used is not taken. Garbage of an answer dies at once.
 */
export const resolverLimits = (machineBytes: number) => ({
  maxYoungGenerationSizeMb: 2,
  maxOldGenerationSizeMb: Math.min(512, Math.max(96, Math.floor(machineBytes / 8 / 2 ** 20))),
});

export function launchResolver(settings: ResolverSettings): ResolverThread {
  const worker = new Worker(source, { name: 'dns', workerData: settings, resourceLimits: resolverLimits(totalmem()) });
  let failure: string | undefined;
  worker.on('error', (err) => {
    failure = describeError(err);
  });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => void worker.on('message', (message: FromResolver) => listener(message)),
    onEnd: (listener) => void worker.once('exit', (code) => listener(failure ?? `its thread ended with code ${code}`)),
    end: () => void worker.terminate(),
  };
}
