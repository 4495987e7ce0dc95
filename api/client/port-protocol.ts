/**
 * What travels over a MessagePort between a component and the API server of the same process: encoded requests and answer chunks, never
 * shared objects, so that the component sees exactly what HTTPS would carry. Chunks own their ArrayBuffer (posting a slice of Node's
 * Buffer pool would clone all 64 KiB of it).
 */
export type ToServer =
  | {
      readonly type: 'request';
      readonly id: number;
      /** User name the request acts as, e.g. `system:kube-scheduler`; the server refuses names that were not bound to this port. */
      readonly component: string;
      readonly method: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array | undefined;
    }
  | { readonly type: 'cancel'; readonly id: number }
  /** The reader took this many bytes; the server may send as many more. */
  | { readonly type: 'credit'; readonly id: number; readonly bytes: number };

export type ToClient =
  | {
      readonly type: 'head';
      readonly id: number;
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly type: 'data'; readonly id: number; readonly chunk: Uint8Array }
  | { readonly type: 'end'; readonly id: number }
  /** The answer broke off: the client throws TransportError. */
  | { readonly type: 'reset'; readonly id: number; readonly message: string };

/** Bytes of one answer that may be under way before the reader has given credit. */
export const INITIAL_WINDOW_BYTES = 1024 * 1024;
