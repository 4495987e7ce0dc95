import { readdirSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const FOLDERS = ['/usr/lib/x86_64-linux-gnu/faketime', '/usr/lib/aarch64-linux-gnu/faketime'];
const LIBRARY = 'libfaketimeMT.so.1';

/** A wall clock that the test sets, for programs that are linked with the C library (Go's are not: they go on in our time). */
export interface FakeWallClock {
  readonly environment: Readonly<Record<string, string>>;
  /** That many days from ours, before it if negative. Within two seconds every process sees it. */
  set(offsetDays: number): Promise<void>;
  /** As a host without a clock of its own boots: 1970, and some minutes. */
  setTo1970(): Promise<void>;
}

/** Undefined where libfaketime is not installed. `name` keeps clocks of one folder apart. */
export async function createFakeWallClock(folder: string, name = 'offset'): Promise<FakeWallClock | undefined> {
  const library = FOLDERS.flatMap((path) => filesOf(path).map((file) => join(path, file))).find((path) =>
    path.endsWith(LIBRARY),
  );
  if (library === undefined) return undefined;
  const file = join(folder, name);
  // Whole at any moment: processes read it whenever they ask for the time.
  const write = async (offset: string) => {
    await writeFile(`${file}.new`, `${offset}\n`);
    await rename(`${file}.new`, file);
  };
  const set = (offsetDays: number) => write(`${offsetDays < 0 ? '' : '+'}${offsetDays}d`);
  await set(0);
  return {
    set,
    setTo1970: () => write(`-${Math.floor(Date.now() / 1000) - 600}`),
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      // Timers go by the time since boot, which no NTP server changes.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
}
