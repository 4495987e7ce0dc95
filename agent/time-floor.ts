import { systemClock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import {
  createFlooredClock,
  type FlooredClock,
  keepTimeFloor,
  parseTimeFloor,
  renderTimeFloor,
  type TimeFloorKeeper,
} from '#base/time-floor.ts';
import type { FileSystem } from './host/host.ts';

const pathIn = (dataDir: string): string => `${dataDir}/time-floor`;

/** The host's clock, never believed below what an agent with this data directory has seen. */
export async function openFlooredClock(fs: FileSystem, dataDir: string): Promise<FlooredClock> {
  const path = pathIn(dataDir);
  const text = (await fs.info(path)) === undefined ? undefined : await fs.readText(path);
  return createFlooredClock(systemClock, parseTimeFloor(text) ?? 0);
}

export interface FlooredClockKeeping {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly floored: FlooredClock;
  readonly log: Logger;
}

export function keepFlooredClock({ fs, dataDir, floored, log }: FlooredClockKeeping): TimeFloorKeeper {
  const write = (floorMs: number) =>
    fs.writeAtomic(pathIn(dataDir), renderTimeFloor(floorMs), { mode: 0o600, durable: true });
  return keepTimeFloor({ clock: systemClock, floored, log, write });
}
