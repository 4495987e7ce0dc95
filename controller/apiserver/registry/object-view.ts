/** An object as an answer needs it: encoded with its resourceVersion, decoded on demand. */
export interface ObjectView {
  readonly bytes: Uint8Array;
  object(): unknown;
}
