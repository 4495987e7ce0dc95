/** Time as every component sees it; injected so that tests decide when something happens. */
export interface Clock {
  /** Wall-clock milliseconds since the Unix epoch. May jump; never use it to measure a duration. */
  now(): number;
  /** Monotonic milliseconds since an arbitrary start. */
  monotonic(): number;
  /** Calls `fn` once after `delayMs`; the returned function cancels it. Pending timers do not keep the process alive. */
  after(delayMs: number, fn: () => void): () => void;
}

/** setTimeout fires at once for delays above 2^31-1 ms, so longer waits are clamped and their callers re-check. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason as soon as it is aborted. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Kubernetes' `metav1.Time`: RFC 3339 in UTC with whole seconds. */
export function toTime(epochMs: number): string {
  return `${secondText(Math.floor(epochMs / 1000))}Z`;
}

/** Kubernetes' `metav1.MicroTime`: RFC 3339 in UTC with six decimals (the last three are zero: the clock has milliseconds). */
export function toMicroTime(epochMs: number): string {
  const second = Math.floor(epochMs / 1000);
  const millis = Math.floor(epochMs) - second * 1000;
  return `${secondText(second)}.${String(millis).padStart(3, '0')}000Z`;
}

let knownSecond = Number.NaN;
let knownText = '';

/** Formatting a date costs ten times a comparison, and a busy server stamps thousands of objects and lines within one second. */
function secondText(epochSecond: number): string {
  if (epochSecond !== knownSecond) {
    knownText = new Date(epochSecond * 1000).toISOString().slice(0, 19);
    knownSecond = epochSecond;
  }
  return knownText;
}
