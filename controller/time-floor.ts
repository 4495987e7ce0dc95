import { join } from 'node:path';
import { type Clock, systemClock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import {
  createFlooredClock,
  type FlooredClock,
  keepTimeFloor,
  parseTimeFloor,
  renderTimeFloor,
  type TimeFloorKeeper,
} from '#base/time-floor.ts';
import { readFileIfPresent, writeDurableFile } from './pki/durable-file.ts';

/** In the data directory; an RFC 3339 time. */
const TIME_FLOOR_FILE = 'time-floor';

/** The host's clock, never believed below what a process with this data directory has seen. */
export async function openFlooredClock(dataDir: string, clock: Clock = systemClock): Promise<FlooredClock> {
  const text = await readFileIfPresent(join(dataDir, TIME_FLOOR_FILE));
  return createFlooredClock(clock, parseTimeFloor(text) ?? 0);
}

/** Until stopped; the data directory must exist. */
export function keepFlooredClock(dataDir: string, floored: FlooredClock, log: Logger): TimeFloorKeeper {
  const path = join(dataDir, TIME_FLOOR_FILE);
  const write = (floorMs: number) => writeDurableFile(path, renderTimeFloor(floorMs));
  return keepTimeFloor({ clock: systemClock, floored, log, write });
}
