import type { Clock } from '#base/clock.ts';
import type { FileSystem, ReadableFile } from '../../host/host.ts';
import { LineSplitter, type LogFormat, LogRenderer, parseLogLine } from './cri-log.ts';

export interface LogReadOptions extends LogFormat {
  /** Goes on after the end of the file, over rotations, until the container has ended. */
  readonly follow: boolean;
  /** Only the last lines; undefined = from the beginning. Counted as the kubelet does, in records. */
  readonly tailLines: number | undefined;
}

export interface LogSource {
  readonly fs: FileSystem;
  readonly clock: Clock;
  /** Absolute path of the newest file; a rotation renames it and creates it anew. */
  readonly path: string;
  /** False once nothing more can be written; asked at the end of the file only. */
  readonly isRunning: () => boolean | Promise<boolean>;
}

const CHUNK_BYTES = 64 * 1024;
/** Behind the file watch, which can miss (inotify's limit, a file not yet there), and for the container's end, which no file shows. */
const POLL_MS = 500;
/** A record without newline beyond this is no log of any runtime. */
const MAX_LINE_BYTES = 1024 * 1024;

/** Yields what the client shall see, chunk by chunk; pulling is the back-pressure. Ends when the signal is aborted. */
export async function* readLog(
  source: LogSource,
  options: LogReadOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { fs, path } = source;
  const renderer = new LogRenderer(options);
  const changes = watchChanges(source, signal);
  let file = await fs.open(path);
  try {
    let position = options.tailLines === undefined ? 0 : await findTail(file, options.tailLines);
    let splitter = new LineSplitter();
    while (!signal.aborted && !renderer.isFull) {
      // Asked before the read: what was written until the container ended is then surely in the read that follows.
      const isRunning = options.follow && (await source.isRunning());
      const chunk = await file.read(position, CHUNK_BYTES);
      position += chunk.length;
      if (chunk.length > 0) {
        const output = renderLines(splitter.push(chunk), renderer);
        if (splitter.pendingBytes > MAX_LINE_BYTES) throw new Error(`${path}: not a container log`);
        if (output.length > 0) yield output;
        continue;
      }
      const next = options.follow ? await openRotated(fs, path, file) : undefined;
      if (next !== undefined) {
        // The old file may have grown between our read at its end and its rename.
        if ((await file.sizeBytes()) > position) {
          await next.close();
          continue;
        }
        await file.close();
        file = next;
        position = 0;
        splitter = new LineSplitter();
      } else if (isRunning) await changes.next();
      else return;
    }
  } finally {
    await file.close();
  }
}

function renderLines(lines: readonly Uint8Array[], renderer: LogRenderer): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const line of lines) {
    const record = parseLogLine(line);
    if (record !== undefined) parts.push(renderer.render(record));
  }
  return Buffer.concat(parts);
}

/** The file that took the path's place, once it is another one: the runtime writes to it from the moment it exists. */
async function openRotated(fs: FileSystem, path: string, current: ReadableFile): Promise<ReadableFile | undefined> {
  const info = await fs.info(path);
  return info === undefined || info.inode === current.inode ? undefined : fs.open(path);
}

/** Where the last `lines` lines begin, searched backwards so that a large file costs no more than its tail. */
async function findTail(file: ReadableFile, lines: number): Promise<number> {
  const sizeBytes = await file.sizeBytes();
  if (lines <= 0) return sizeBytes;
  let newlines = 0;
  for (let end = sizeBytes; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const block = await file.read(start, end - start);
    for (let index = block.length - 1; index >= 0; index--) {
      const isLastByte = start + index === sizeBytes - 1;
      if (block[index] !== 0x0a || isLastByte) continue;
      newlines++;
      if (newlines === lines) return start + index + 1;
    }
    end = start;
  }
  return 0;
}

/** `next` resolves when the file may have changed, at the latest after the poll interval. */
function watchChanges({ fs, clock, path }: LogSource, signal: AbortSignal): { next(): Promise<void> } {
  let isDirty = false;
  let isWatching = false;
  let wake = () => {};
  const onChange = () => {
    isDirty = true;
    wake();
  };
  const startWatching = () => {
    isWatching = true;
    signal.addEventListener('abort', onChange, { once: true });
    // The directory, not the file: its watch survives the rename of a rotation.
    fs.watch(path.slice(0, path.lastIndexOf('/')), onChange, signal);
  };
  return {
    async next() {
      if (!isWatching) startWatching();
      if (!isDirty && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const cancel = clock.after(POLL_MS, resolve);
          wake = () => {
            cancel();
            resolve();
          };
        });
      }
      isDirty = false;
    },
  };
}
