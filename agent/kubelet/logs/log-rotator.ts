import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { FileSystem } from '../../host/host.ts';

export interface LogRotatorOptions {
  readonly fs: FileSystem;
  readonly runtime: Pick<ContainerRuntime, 'reopenLog'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Running containers with the absolute paths of their logs. */
  readonly containers: () => readonly { readonly id: string; readonly logPath: string }[];
  /** The kubelet's containerLogMaxSize; default 10 MiB. */
  readonly maxBytes?: number;
  /** The kubelet's containerLogMaxFiles: the one being written and the rotated ones; default 5. */
  readonly maxFiles?: number;
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024;
const DEFAULT_MAX_FILES = 5;
/** The kubelet's containerLogMonitorInterval. */
const INTERVAL_MS = 10_000;

/** Keeps the logs of running containers within their limits until aborted. */
export async function runLogRotation(options: LogRotatorOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const { id, logPath } of options.containers()) {
      try {
        await rotateIfLarge(options, id, logPath);
      } catch (err) {
        options.log.warn('could not rotate a log', { containerId: id, logPath, err: describeError(err) });
      }
    }
    await delay(options.clock, INTERVAL_MS, signal).catch(() => {});
  }
}

/** Renames the file and lets the runtime open a new one; where that fails the old name is given back, so that no line is lost. */
export async function rotateIfLarge(options: LogRotatorOptions, containerId: string, path: string): Promise<void> {
  const { fs, runtime, clock, maxBytes = DEFAULT_MAX_BYTES, maxFiles = DEFAULT_MAX_FILES } = options;
  const info = await fs.info(path);
  if (info === undefined || info.sizeBytes < maxBytes) return;
  const rotated = `${path}.${rotationStamp(clock.now())}`;
  await fs.rename(path, rotated);
  try {
    await runtime.reopenLog(containerId);
  } catch (err) {
    await fs.rename(rotated, path);
    throw err;
  }
  const folder = path.slice(0, path.lastIndexOf('/'));
  for (const name of planLogRemoval(await fs.list(folder), path.slice(folder.length + 1), maxFiles))
    await fs.remove(`${folder}/${name}`);
}

/** `20260131-235959`, as the kubelet names rotated logs: sorting by name is sorting by age. */
function rotationStamp(epochMs: number): string {
  const [date = '', time = ''] = new Date(epochMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').split('T');
  return `${date}-${time}`;
}

/** Rotated files of the log `name` that are too many, oldest first. */
export function planLogRemoval(files: readonly string[], name: string, maxFiles: number): readonly string[] {
  const rotated = files.filter((file) => file.startsWith(`${name}.`)).sort();
  return rotated.slice(0, Math.max(0, rotated.length - (maxFiles - 1)));
}
