export interface BackoffOptions {
  /** First delay. */
  readonly initialMs: number;
  /** Delays never grow beyond this. */
  readonly maxMs: number;
  readonly factor?: number;
  /** 0 = none; 1 = full jitter, a uniform choice in [0, delay], so that a fleet does not come back in step. */
  readonly jitter?: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** The delay before attempt `failures + 1`, in ms; `failures` counts from 1. */
export function backoffDelayMs(failures: number, options: BackoffOptions): number {
  const { initialMs, maxMs, factor = 2, jitter = 0, random = Math.random } = options;
  const delayMs = Math.min(maxMs, initialMs * factor ** Math.max(0, failures - 1));
  return delayMs * (1 - jitter * random());
}
