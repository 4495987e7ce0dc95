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
/** A log that was due for rotation may be a flood: it is looked at again soon. */
const FLOOD_INTERVAL_MS = 1_000;
const COMPRESSED = '.gz';

/** Keeps the logs of running containers within their limits until aborted. */
export async function runLogRotation(options: LogRotatorOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    let isFlooded = false;
    for (const { id, logPath } of options.containers()) {
      try {
        isFlooded = (await rotateIfLarge(options, id, logPath)) || isFlooded;
      } catch (err) {
        options.log.warn('could not rotate a log', { containerId: id, logPath, err: describeError(err) });
      }
    }
    await delay(options.clock, isFlooded ? FLOOD_INTERVAL_MS : INTERVAL_MS, signal).catch(() => {});
  }
}

/**
 * Renames the file and lets the runtime open a new one; where that fails the old name is given back, so that no line is lost. The file
 * that was renamed last stays as it is, for readers that have it open; older ones are compressed. Returns whether it was rotated.
 */
export async function rotateIfLarge(options: LogRotatorOptions, containerId: string, path: string): Promise<boolean> {
  const { fs, runtime, clock, maxBytes = DEFAULT_MAX_BYTES, maxFiles = DEFAULT_MAX_FILES } = options;
  const info = await fs.info(path);
  if (info === undefined || info.sizeBytes < maxBytes) return false;
  const folder = path.slice(0, path.lastIndexOf('/'));
  const name = path.slice(folder.length + 1);
  await compressRotated(fs, folder, name);
  const rotated = `${path}.${rotationStamp(clock.now())}`;
  await fs.rename(path, rotated);
  try {
    await runtime.reopenLog(containerId);
  } catch (err) {
    await fs.rename(rotated, path);
    throw err;
  }
  for (const old of planLogRemoval(await fs.list(folder), name, maxFiles)) await fs.remove(`${folder}/${old}`);
  return true;
}

async function compressRotated(fs: FileSystem, folder: string, name: string): Promise<void> {
  for (const file of await fs.list(folder)) {
    const path = `${folder}/${file}`;
    // What an earlier try left half written.
    if (file.startsWith(`${name}.`) && file.endsWith('.tmp')) await fs.remove(path);
    else if (file.startsWith(`${name}.`) && !file.endsWith(COMPRESSED)) {
      await fs.gzip(path, `${path}.tmp`);
      await fs.rename(`${path}.tmp`, `${path}${COMPRESSED}`);
      await fs.remove(path);
    }
  }
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
