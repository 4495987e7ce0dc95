import { ApiError } from '#api/object/api-error.ts';
import type { StoredObject, WriteDecision, WriteResult } from './store.ts';

export interface AttemptOptions {
  readonly key: string;
  readonly decide: (current: StoredObject | undefined) => WriteDecision;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (err: unknown) => void;
  readonly signal: AbortSignal | undefined;
}

let created = 0;

/** One caller's write: decided once or more often, answered exactly once, with 504 when its deadline passes first. */
export class WriteAttempt {
  readonly key: string;
  readonly decide: (current: StoredObject | undefined) => WriteDecision;
  /** Arrival order. */
  readonly order: number;
  readonly #options: AttemptOptions;
  readonly #onAbort: (() => void) | undefined;
  #settled = false;

  constructor(options: AttemptOptions) {
    this.key = options.key;
    this.decide = options.decide;
    this.order = created++;
    this.#options = options;
    const { signal } = options;
    if (signal === undefined) return;
    this.#onAbort = () => this.reject(unknownFate());
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get settled(): boolean {
    return this.#settled;
  }

  resolve(result: WriteResult): void {
    if (this.#settle()) this.#options.resolve(result);
  }

  reject(err: unknown): void {
    if (this.#settle()) this.#options.reject(err);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    if (this.#onAbort !== undefined) this.#options.signal?.removeEventListener('abort', this.#onAbort);
    return true;
  }
}

function unknownFate(): ApiError {
  return new ApiError(504, 'Timeout', 'Timeout: request did not complete within the allotted timeout', {
    retryAfterSeconds: 1,
  });
}
