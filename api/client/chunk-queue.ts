/** Chunks between one producer and one reader. Leaving the read loop early calls `onCancel`; every chunk read calls `onTaken`. */
export class ChunkQueue implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #hooks: ChunkQueueHooks;
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(hooks: ChunkQueueHooks = {}) {
    this.#hooks = hooks;
  }

  push(chunk: Uint8Array): void {
    if (this.#end !== undefined) return;
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    this.#end ??= { error: undefined };
    this.#wake?.();
  }

  /** Chunks that already arrived are still delivered before the error. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    let isComplete = false;
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#hooks.onTaken?.(chunk.byteLength);
          yield chunk;
        } else if (this.#end !== undefined) {
          isComplete = true;
          if (this.#end.error !== undefined) throw this.#end.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
        }
      }
    } finally {
      if (!isComplete) this.#hooks.onCancel?.();
    }
  }
}

export interface ChunkQueueHooks {
  readonly onTaken?: (bytes: number) => void;
  readonly onCancel?: () => void;
}
