/** Messages between the store and its disk thread: one request at a time, one answer to each. */
export type DiskRequest =
  | {
      readonly kind: 'open';
      readonly dir: string;
      readonly reserveBlock: number;
    }
  | {
      readonly kind: 'commit';
      /** See packed-records.ts. */
      readonly buffer: ArrayBuffer;
      readonly length: number;
      readonly count: number;
      readonly reservedRevision: number | undefined;
      readonly compactedRevision: number;
    }
  | { readonly kind: 'close'; readonly shownRevision: number };

export type DiskAnswer =
  | {
      readonly kind: 'opened';
      readonly reservedRevision: number;
      readonly compactedRevision: number;
    }
  | { readonly kind: 'committed' }
  | { readonly kind: 'closed' }
  | {
      readonly kind: 'failed';
      readonly message: string;
      /** SQLite's extended result code, or undefined. */
      readonly errcode: number | undefined;
      /** Nothing was stored and the database can be used further. */
      readonly recoverable: boolean;
    };
