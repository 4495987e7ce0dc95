import type { Clock } from '#base/clock.ts';

export interface WaitOptions {
  /** Throws when there is nothing left to wait for. */
  readonly isDone: () => boolean;
  /** Calls its listener after each change until told to stop. */
  readonly onChange: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves once `isDone`. Rejects with what it throws, when aborted, and with `timedOut` after the time. */
export function waitFor({ isDone, onChange, clock, timeoutMs, signal }: WaitOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      try {
        if (isDone()) end(resolve);
      } catch (err) {
        end(() => reject(err));
      }
    };
    const onAbort = () => end(() => reject(signal.reason));
    const cancel = clock.after(timeoutMs, () =>
      end(() => reject(new Error('binding volumes: context deadline exceeded'))),
    );
    const unlisten = onChange(look);
    signal.addEventListener('abort', onAbort, { once: true });
    const end = (settle: () => void) => {
      cancel();
      unlisten();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    if (signal.aborted) onAbort();
    else look();
  });
}
