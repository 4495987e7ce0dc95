import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** The timer behind the measurement; what the loop is later than this is its delay. */
const RESOLUTION_MS = 2;

/** In the measured process: the first signal begins to measure, the next writes down what was found. Costs nothing before and after. */
const SCRIPT = `
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
let delay;
if (isMainThread) process.on('SIGUSR2', () => {
  if (delay === undefined) {
    delay = monitorEventLoopDelay({ resolution: ${RESOLUTION_MS} });
    delay.enable();
    return;
  }
  delay.disable();
  const late = (ns) => Math.max(0, ns / 1e6 - ${RESOLUTION_MS});
  writeFileSync(process.env.LOOP_DELAY_FILE, JSON.stringify({ p99Ms: late(delay.percentile(99)), longestMs: late(delay.max) }));
  delay = undefined;
});`;

export interface LoopDelay {
  readonly p99Ms: number;
  readonly longestMs: number;
}

/** A controller whose event loop can be asked how late it was. */
export async function startMeasuredController(
  options: Parameters<typeof startControllerProcess>[0] & { readonly folder: string },
): Promise<ControllerProcess> {
  return startControllerProcess({
    ...options,
    environment: {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SCRIPT)}`,
      LOOP_DELAY_FILE: reportPath(options.folder),
    },
  });
}

const reportPath = (folder: string) => join(folder, 'loop-delay.json');

/** How late the loop of the main thread was while `work` ran. */
export async function loopDelayDuring<T>(
  { controller, folder }: { readonly controller: ControllerProcess; readonly folder: string },
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly delay: LoopDelay }> {
  const path = reportPath(folder);
  rmSync(path, { force: true });
  process.kill(controller.pid, 'SIGUSR2');
  const result = await work();
  process.kill(controller.pid, 'SIGUSR2');
  await waitUntil('the event loop to tell its delay', 10_000, async () => (existsSync(path) ? true : undefined));
  return { result, delay: JSON.parse(readFileSync(path, 'utf8')) as LoopDelay };
}
