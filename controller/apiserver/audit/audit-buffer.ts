import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';

export interface AuditBufferOptions {
  /** Appends text to the audit file; one call at a time. */
  readonly append: (text: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Lines beyond this many characters waiting are dropped and counted: auditing never stalls the API. */
  readonly maxChars?: number;
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

/** Between the audit filter and its file: collects lines, appends them in batches, bounded in memory. */
export function createAuditBuffer(options: AuditBufferOptions): AuditBuffer {
  const { append, clock, log, maxChars = 4 * 1024 * 1024, flushDelayMs = 1000 } = options;
  let lines: string[] = [];
  let chars = 0;
  let dropped = 0;
  const counts = { lines: 0, dropped: 0 };
  let cancelTimer: (() => void) | undefined;
  let writing: Promise<void> = Promise.resolve();

  const appendBatch = async (): Promise<void> => {
    cancelTimer?.();
    cancelTimer = undefined;
    if (lines.length === 0) return;
    const text = `${lines.join('\n')}\n`;
    const lost = dropped;
    lines = [];
    chars = 0;
    dropped = 0;
    try {
      await append(text);
      if (lost > 0) log.error('audit lines were dropped: the audit file is too slow', { lines: lost });
    } catch (err) {
      log.error('audit lines could not be written', { err, chars: text.length });
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
      if (chars + line.length > maxChars) {
        dropped++;
        counts.dropped++;
        return;
      }
      lines.push(line);
      chars += line.length + 1;
      cancelTimer ??= clock.after(flushDelayMs, () => void flush());
    },
    flush,
  };
}
