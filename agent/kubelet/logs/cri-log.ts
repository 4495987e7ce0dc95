/** One record of a container's log file. A line longer than the runtime's limit is split into records; all but its last are partial. */
export interface LogRecord {
  /** As written: RFC 3339 with nanoseconds. */
  readonly timestamp: string;
  readonly stream: 'stdout' | 'stderr';
  readonly isPartial: boolean;
  /** Without the line's end. */
  readonly content: Uint8Array;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const PARTIAL = 'P';

/**
 * Reads one line of the CRI log format, `<time> <stream> <tags> <content>`, given without its newline. undefined for anything else, such
 * as the torn tail that a power cut leaves: readers skip it.
 */
export function parseLogLine(line: Uint8Array): LogRecord | undefined {
  const first = line.indexOf(SPACE);
  const second = first < 0 ? -1 : line.indexOf(SPACE, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(SPACE, second + 1);
  const tagsEnd = third < 0 ? line.length : third;
  const stream = text(line.subarray(first + 1, second));
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const timestamp = text(line.subarray(0, first));
  if (Number.isNaN(Date.parse(timestamp))) return undefined;
  const [tag = ''] = text(line.subarray(second + 1, tagsEnd)).split(':');
  return {
    timestamp,
    stream,
    isPartial: tag === PARTIAL,
    content: third < 0 ? new Uint8Array() : line.subarray(third + 1),
  };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Cuts a byte stream into lines without their newlines; what follows the last newline waits for the next chunk. */
export class LineSplitter {
  #rest: Uint8Array = new Uint8Array();

  push(chunk: Uint8Array): Uint8Array[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      lines.push(data.subarray(start, end));
      start = end + 1;
    }
    this.#rest = data.subarray(start);
    return lines;
  }

  get pendingBytes(): number {
    return this.#rest.length;
  }
}

export interface LogFormat {
  readonly timestamps: boolean;
  /** Records before this moment are left out. */
  readonly sinceMs: number | undefined;
  /** Bytes of output after which nothing more is written. */
  readonly limitBytes: number | undefined;
  readonly stream: 'All' | 'Stdout' | 'Stderr';
}

/** Turns records into what a client of the logs sees; keeps the place in a split line and the budget of bytes. */
export class LogRenderer {
  readonly #format: LogFormat;
  #remainingBytes: number;
  #isAtLineStart = true;

  constructor(format: LogFormat) {
    this.#format = format;
    this.#remainingBytes = format.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** True once the byte limit is reached. */
  get isFull(): boolean {
    return this.#remainingBytes <= 0;
  }

  render(record: LogRecord): Uint8Array {
    const { timestamps, sinceMs, stream } = this.#format;
    if (stream !== 'All' && stream.toLowerCase() !== record.stream) return new Uint8Array();
    if (sinceMs !== undefined && Date.parse(record.timestamp) < sinceMs) return new Uint8Array();
    const prefix = timestamps && this.#isAtLineStart ? `${record.timestamp} ` : '';
    this.#isAtLineStart = !record.isPartial;
    const whole = Buffer.concat([Buffer.from(prefix), record.content, Buffer.from(record.isPartial ? '' : '\n')]);
    const cut = whole.subarray(0, Math.min(whole.length, this.#remainingBytes));
    this.#remainingBytes -= cut.length;
    return cut;
  }
}
