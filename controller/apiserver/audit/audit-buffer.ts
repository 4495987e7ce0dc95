import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';

export interface AuditBufferOptions {
  /** Appends whole lines in UTF-8 to the audit file; one call at a time. */
  readonly append: (bytes: Uint8Array) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Lines beyond this many bytes waiting are dropped and counted: auditing never stalls the API. */
  readonly maxBytes?: number;
  /** Lines are collected for so long, so that a busy server writes few large pieces. */
  readonly flushDelayMs?: number;
}

export interface AuditBuffer {
  write(line: string): void;
  /** Since the start. */
  readonly counts: { readonly lines: number; readonly dropped: number };
  /** Resolves once everything written so far has been appended. */
  flush(): Promise<void>;
}

const CHUNK_BYTES = 128 * 1024;
const NEWLINE = 0x0a;

/**
 * Lines that wait, as bytes outside the heap: kept as texts, the lines of a second would grow old in it and be copied twice on the way, which is
 * a sixth of what a small write leaves to the collector.
 */
class WaitingLines {
  #full: Uint8Array[] = [];
  #chunk: Buffer | undefined;
  #used = 0;
  bytes = 0;
  dropped = 0;

  /** `room` bytes at most. */
  add(line: string, room: number): boolean {
    // UTF-8 needs at most three bytes for each UTF-16 unit.
    const bound = line.length * 3 + 1;
    if (bound > room && Buffer.byteLength(line) + 1 > room) return false;
    if (this.#chunk === undefined || this.#used + bound > this.#chunk.byteLength) {
      this.#seal();
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bound));
    }
    const from = this.#used;
    this.#used += this.#chunk.write(line, from);
    this.#chunk[this.#used++] = NEWLINE;
    this.bytes += this.#used - from;
    return true;
  }

  /** All of them; whole lines in each piece. */
  take(): readonly Uint8Array[] {
    this.#seal();
    const taken = this.#full;
    this.#full = [];
    this.bytes = 0;
    this.dropped = 0;
    return taken;
  }

  #seal(): void {
    if (this.#chunk !== undefined) this.#full.push(this.#chunk.subarray(0, this.#used));
    this.#chunk = undefined;
    this.#used = 0;
  }
}

/** Between the audit filter and its file: collects lines, appends them in batches, bounded in memory. */
export function createAuditBuffer(options: AuditBufferOptions): AuditBuffer {
  const { append, clock, log, maxBytes = 4 * 1024 * 1024, flushDelayMs = 1000 } = options;
  const waiting = new WaitingLines();
  const counts = { lines: 0, dropped: 0 };
  let cancelTimer: (() => void) | undefined;
  let writing: Promise<void> = Promise.resolve();

  const appendBatch = async (): Promise<void> => {
    cancelTimer?.();
    cancelTimer = undefined;
    if (waiting.bytes === 0) return;
    const { bytes, dropped } = waiting;
    try {
      for (const piece of waiting.take()) await append(piece);
      if (dropped > 0) log.error('audit lines were dropped: the audit file is too slow', { lines: dropped });
    } catch (err) {
      log.error('audit lines could not be written', { err, bytes });
    }
  };
  const flush = (): Promise<void> => {
    writing = writing.then(appendBatch);
    return writing;
  };
  return {
    counts,
    write(line) {
      counts.lines++;
      if (!waiting.add(line, maxBytes - waiting.bytes)) {
        waiting.dropped++;
        counts.dropped++;
        return;
      }
      cancelTimer ??= clock.after(flushDelayMs, () => void flush());
    },
    flush,
  };
}
