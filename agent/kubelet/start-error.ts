/** A container could not be brought up: what its status says while it waits, and when to try again. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly reason: string;
  /** Epoch ms; undefined = the usual pause. */
  readonly retryAtMs: number | undefined;
  constructor(reason: string, message: string, retryAtMs?: number, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}
