import { type ServiceError, status } from '@grpc/grpc-js';
import { ApiError } from '#api/object/api-error.ts';
import { describeError } from '#base/errors.ts';

/**
 * What a failed call means for the caller.
 * - `unavailable`: certainly not carried out; another try, perhaps at another member, may succeed
 * - `unknown`: perhaps carried out, now or later
 * - the others: certainly not carried out, and another try of the same would fail alike
 */
export type EtcdFault =
  | 'unavailable'
  | 'unknown'
  | 'noSpace'
  | 'tooLarge'
  | 'compacted'
  | 'leaseGone'
  | 'denied'
  | 'refused';

export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly fault: EtcdFault;
  /** gRPC's code. */
  readonly code: number;

  constructor(fault: EtcdFault, code: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.fault = fault;
    this.code = code;
  }
}

export const faultOf = (err: unknown): EtcdFault | undefined => (err instanceof EtcdError ? err.fault : undefined);

export const isTransient = (err: unknown): boolean => {
  const fault = faultOf(err);
  return fault === 'unavailable' || fault === 'unknown';
};

/** etcd's own words, by which alone most of its errors can be told apart. */
const WORDS: readonly (readonly [string, EtcdFault])[] = [
  ['database space exceeded', 'noSpace'],
  ['request is too large', 'tooLarge'],
  ['required revision has been compacted', 'compacted'],
  ['requested lease not found', 'leaseGone'],
  ['permission denied', 'denied'],
  ['user name is empty', 'denied'],
  ['authentication', 'denied'],
  ['invalid auth token', 'denied'],
  // Refused at the door, before anything was proposed to the other members.
  ['etcdserver: no leader', 'unavailable'],
  ['etcdserver: too many requests', 'unavailable'],
  // These were proposed, and the answer did not come.
  ['etcdserver: request timed out', 'unknown'],
  ['etcdserver: server stopped', 'unknown'],
  ['etcdserver: leader changed', 'unknown'],
];

/** gRPC's own words for a call that never left this process. */
const NEVER_SENT = ['No connection established', 'Name resolution failed', 'Failed to connect'];

const TRANSIENT_CODES: readonly number[] = [
  status.UNAVAILABLE,
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.INTERNAL,
  status.UNKNOWN,
];

export function toEtcdError(err: ServiceError): EtcdError {
  const message = err.details || err.message;
  return new EtcdError(computeFault(err.code, message), err.code, message, { cause: err });
}

export function computeFault(code: number, message: string): EtcdFault {
  const known = WORDS.find(([words]) => message.includes(words));
  if (known !== undefined) return known[1];
  if (code === status.UNAVAILABLE && NEVER_SENT.some((words) => message.includes(words))) return 'unavailable';
  if (code === status.UNAUTHENTICATED) return 'denied';
  if (TRANSIENT_CODES.includes(code) && !message.startsWith('etcdserver: ')) return 'unknown';
  if (code === status.UNAVAILABLE) return 'unknown';
  return 'refused';
}

/** For an administrator, in one line. */
export const describeEtcdFailure = (err: unknown): string =>
  faultOf(err) === 'noSpace' ? NO_SPACE_CURE : describeError(err);

const NO_SPACE_CURE =
  'etcd has raised its NOSPACE alarm: its database is full. Reads go on, writes are refused. Compact and defragment it, ' +
  'or raise --quota-backend-bytes, then run "etcdctl alarm disarm"';

/** The answer for a client whose write ended so. */
export function toApiError(err: unknown): unknown {
  if (!(err instanceof EtcdError)) return err;
  const options = { cause: err };
  switch (err.fault) {
    case 'unavailable':
      return new ApiError(
        503,
        'ServiceUnavailable',
        `etcd cannot be reached: ${err.message}`,
        { retryAfterSeconds: 1 },
        options,
      );
    case 'unknown':
      return unknownFate(err);
    case 'noSpace':
      return new ApiError(507, 'InsufficientStorage', NO_SPACE_CURE, undefined, options);
    case 'tooLarge':
      return new ApiError(
        413,
        'RequestEntityTooLarge',
        `the object is too large: ${err.message} (--max-request-bytes of etcd)`,
        undefined,
        options,
      );
    case 'denied':
      return new ApiError(500, 'InternalError', `etcd refuses this API server: ${err.message}`, undefined, options);
    default:
      return new ApiError(500, 'InternalError', `etcd: ${err.message}`, undefined, options);
  }
}

/** Nobody can say whether the write was carried out, or still will be. */
export function unknownFate(cause?: unknown): ApiError {
  return new ApiError(
    504,
    'Timeout',
    'Timeout: etcd did not answer: the fate of this write is unknown',
    { retryAfterSeconds: 1 },
    cause === undefined ? undefined : { cause },
  );
}
