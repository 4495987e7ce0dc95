export type JoinErrorKind =
  /** Nobody answered: worth another try. */
  | 'unreachable'
  /** The CA is not the pinned one. */
  | 'wrongCa'
  /** The clocks of host and controller differ too much. */
  | 'clockSkew'
  /** The bootstrap token is unknown or has expired. */
  | 'badToken'
  /** The certificate was denied or cannot be issued. */
  | 'refused'
  /** The configuration lacks something, or contradicts what this host joined as. */
  | 'configuration';

/** Why this host could not join or renew; the message tells a person what to do. Only `unreachable` heals by itself. */
export class JoinError extends Error {
  override readonly name = 'JoinError';
  readonly kind: JoinErrorKind;

  constructor(kind: JoinErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

export const isUnreachable = (err: unknown): boolean => err instanceof JoinError && err.kind === 'unreachable';
