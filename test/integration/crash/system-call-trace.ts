import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** What a process asked of the disk, in the order in which it asked. Files are named by a number of their own, as inodes are. */
export type DiskEvent =
  | { readonly kind: 'make'; readonly path: string; readonly file: number; readonly isFolder: boolean }
  | { readonly kind: 'write'; readonly file: number; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'resize'; readonly file: number; readonly size: number }
  /** Came back: all before it is durable. */
  | { readonly kind: 'sync'; readonly file: number }
  | { readonly kind: 'syncFolder'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string }
  /** A line that the process wrote to its stdout. */
  | { readonly kind: 'line'; readonly text: string };

const CALLS = [
  ...['openat', 'close', 'mkdir', 'rename', 'unlink', 'rmdir', 'ftruncate', 'truncate', 'fallocate'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'copy_file_range', 'sendfile', 'fsync', 'fdatasync'],
];
/** Longer than any single write. */
const MAX_BYTES = 4 * 2 ** 20;

/** Runs the program under strace, all threads; its output goes to `traceFile`. Throws with stderr unless it ends with 0. */
export async function recordTrace(argv: readonly string[], traceFile: string): Promise<void> {
  const flags = ['-f', '-qq', '-xx', '-s', String(MAX_BYTES), '-e', `trace=${CALLS.join(',')}`, '-o', traceFile];
  const child = spawn('strace', [...flags, ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`the traced program ended with ${code}: ${stderr}`);
}

/** Events below `folder`, and the lines of stdout. Shared memory (`-shm`) is no file: nobody expects anything of it after a power cut. */
export async function readTrace(traceFile: string, folder: string): Promise<DiskEvent[]> {
  const reader = new TraceReader(folder);
  for await (const line of createInterface({ input: createReadStream(traceFile, 'latin1') })) reader.take(line);
  return reader.events;
}

interface Descriptor {
  readonly file: number;
  readonly path: string;
  readonly isFolder: boolean;
  position: number;
}

const LINE = /^(\d+)\s+(\w+)\((.*)$/s;
const RESUMED = /^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$/s;
const UNFINISHED = ' <unfinished ...>';

class TraceReader {
  readonly events: DiskEvent[] = [];
  readonly #folder: string;
  readonly #descriptors = new Map<number, Descriptor>();
  readonly #files = new Map<string, number>();
  readonly #folders = new Set<string>();
  /** Calls that another thread's came between, by thread. */
  readonly #unfinished = new Map<string, string>();
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  take(line: string): void {
    const resumed = RESUMED.exec(line);
    if (resumed !== null) {
      const [, thread = '', name = '', rest = ''] = resumed;
      const begun = this.#unfinished.get(thread) ?? '';
      this.#unfinished.delete(thread);
      this.#call(name, begun + rest);
      return;
    }
    const match = LINE.exec(line);
    if (match === null) return;
    const [, thread = '', name = '', rest = ''] = match;
    if (rest.endsWith(UNFINISHED)) this.#unfinished.set(thread, rest.slice(0, -UNFINISHED.length));
    else this.#call(name, rest);
  }

  #call(name: string, rest: string): void {
    // What is short is padded: `fsync(20)      = 0`.
    const end = rest.lastIndexOf(')');
    const result = Number(/^\)\s+= (\d+)/.exec(rest.slice(end))?.[1]);
    if (Number.isNaN(result)) return;
    const args = rest.slice(0, end);
    if (name === 'openat') this.#open(args, result);
    else if (name === 'mkdir') this.#makeFolder(unhex(args).toString());
    else if (name === 'rename') this.#rename(args);
    else if (name === 'unlink' || name === 'rmdir') this.#remove(unhex(args).toString());
    else this.#onDescriptor(name, args, result);
  }

  #onDescriptor(name: string, args: string, result: number): void {
    const comma = args.indexOf(',');
    const fd = Number.parseInt(args, 10);
    if (fd === 1 && name === 'write') {
      for (const text of unhex(args).toString().split('\n')) if (text !== '') this.events.push({ kind: 'line', text });
      return;
    }
    const descriptor = this.#descriptors.get(fd);
    if (descriptor === undefined) return;
    const { file, path, isFolder } = descriptor;
    switch (name) {
      case 'close':
        this.#descriptors.delete(fd);
        return;
      case 'pwrite64': {
        const at = Number(args.slice(args.lastIndexOf(',') + 1));
        this.events.push({ kind: 'write', file, at, bytes: unhex(args).subarray(0, result) });
        return;
      }
      case 'write':
        this.events.push({ kind: 'write', file, at: descriptor.position, bytes: unhex(args).subarray(0, result) });
        descriptor.position += result;
        return;
      case 'ftruncate':
        this.events.push({ kind: 'resize', file, size: Number(args.slice(comma + 1)) });
        return;
      case 'fsync':
      case 'fdatasync':
        this.events.push(isFolder ? { kind: 'syncFolder', path } : { kind: 'sync', file });
        return;
      default:
        throw new Error(`a trace with ${name} of ${path} is not understood`);
    }
  }

  #open(args: string, fd: number): void {
    const path = unhex(args).toString();
    const flags = args.slice(args.lastIndexOf('"'));
    this.#descriptors.delete(fd);
    if (!this.#isOurs(path)) return;
    const isFolder = flags.includes('O_DIRECTORY') || path === this.#folder || this.#folders.has(path);
    if (isFolder) {
      this.#descriptors.set(fd, { file: -1, path, isFolder, position: 0 });
      return;
    }
    let file = this.#files.get(path);
    if (file === undefined) {
      if (!flags.includes('O_CREAT')) throw new Error(`${path} is opened, but was never made`);
      file = this.#make(path, false);
    } else if (flags.includes('O_TRUNC')) this.events.push({ kind: 'resize', file, size: 0 });
    this.#descriptors.set(fd, { file, path, isFolder, position: 0 });
  }

  #makeFolder(path: string): void {
    if (!this.#isOurs(path)) return;
    this.#folders.add(path);
    this.#make(path, true);
  }

  #make(path: string, isFolder: boolean): number {
    const file = this.#made++;
    this.#files.set(path, file);
    this.events.push({ kind: 'make', path, file, isFolder });
    return file;
  }

  #rename(args: string): void {
    const [from = '', to = ''] = [...args.matchAll(/"([^"]*)"/g)].map((match) => unhex(match[0]).toString());
    if (!this.#isOurs(from)) return;
    const file = this.#files.get(from)!;
    this.#files.delete(from);
    this.#files.set(to, file);
    this.events.push({ kind: 'rename', from, to });
  }

  #remove(path: string): void {
    if (!this.#isOurs(path)) return;
    this.#files.delete(path);
    this.events.push({ kind: 'remove', path });
  }

  #isOurs(path: string): boolean {
    return (path === this.#folder || path.startsWith(`${this.#folder}/`)) && !path.endsWith('-shm');
  }
}

/** The first string among the arguments, which strace writes as `"\x2f\x74"`. */
function unhex(args: string): Buffer {
  const from = args.indexOf('"') + 1;
  return Buffer.from(args.slice(from, args.indexOf('"', from)).replaceAll('\\x', ''), 'hex');
}
