import { badRequest } from '#api/object/api-error.ts';

/** Where a paginated list goes on; opaque to clients. */
export interface ContinueToken {
  /** The list's revision; -1: an inconsistent continuation at whatever is current. */
  readonly revision: number;
  /** The last key that was sent, without the list's prefix. */
  readonly afterKey: string;
}

const VERSION = 'meta.k8s.io/v1';

export function encodeContinueToken({ revision, afterKey }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: VERSION, rv: revision, start: afterKey })).toString('base64url');
}

/** A key that would leave the list's own range of the store. */
const isOutside = (key: string) => key.split('/').some((part) => part === '.' || part === '..');

/** Throws 400 for anything that this server did not write. */
export function decodeContinueToken(text: string): ContinueToken {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (v === VERSION && Number.isSafeInteger(rv) && typeof start === 'string' && !isOutside(start)) {
      return { revision: rv as number, afterKey: start };
    }
  } catch {
    // Answered below: whatever is wrong with it, the token is not ours.
  }
  throw badRequest('continue key is not valid: the token was not issued by this server');
}
