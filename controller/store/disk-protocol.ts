import type { SealingPlan } from './seal/sealing-plan.ts';
import type { OpenedDatabase } from './sqlite-database.ts';

/** Messages between the store and its disk thread: one request at a time, one answer to each. */
export type DiskRequest =
  | {
      readonly kind: 'open';
      readonly dir: string;
      /** For tests: see disk-gate.ts. */
      readonly gate: SharedArrayBuffer | undefined;
      readonly sealing: SealingPlan | undefined;
    }
  | { readonly kind: 'reserve'; readonly block: number }
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

/** Messages that are not answered, unless by trouble. */
export type DiskNotice =
  /** The values that lie on disk do open: those sealed otherwise than they would be today may be sealed anew. */
  | { readonly kind: 'begin-sealing' }
  /** A new key seals from now on. */
  | { readonly kind: 'rotate-sealing-key' };

export type DiskAnswer =
  | { readonly kind: 'opened' }
  | ({ readonly kind: 'reserved' } & OpenedDatabase)
  | { readonly kind: 'committed' }
  | { readonly kind: 'closed' }
  /** Not an answer: something went wrong in work that nobody asked for. */
  | { readonly kind: 'trouble'; readonly message: string; readonly isDiskFull: boolean }
  | {
      readonly kind: 'failed';
      readonly message: string;
      /** SQLite's extended result code, or undefined. */
      readonly errcode: number | undefined;
      /** Nothing was stored and the database can be used further. */
      readonly recoverable: boolean;
    };
