/** `metav1.StatusReason` values that the server sends. */
export type StatusReason =
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Invalid'
  | 'ServerTimeout'
  | 'Timeout'
  | 'TooManyRequests'
  | 'BadRequest'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'InternalError'
  | 'Expired'
  | 'ServiceUnavailable'
  | 'Unknown';

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** `metav1.Status`, the body of every failed request. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: { resourceVersion?: string; continue?: string };
  status?: 'Success' | 'Failure';
  message?: string;
  reason?: StatusReason | string;
  details?: StatusDetails;
  code?: number;
}

/** The one error of the API: born with its HTTP code and Kubernetes reason, on the server and again in the client. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;
  readonly reason: StatusReason | string;
  readonly details: StatusDetails | undefined;
  /** Set on 410 answers to a paginated LIST: lets the client go on from an inconsistent snapshot. */
  readonly continueToken: string | undefined;

  constructor(
    code: number,
    reason: StatusReason | string,
    message: string,
    details?: StatusDetails,
    options?: { cause?: unknown; continueToken?: string },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.continueToken = options?.continueToken;
  }

  toStatus(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.continueToken === undefined ? {} : { continue: this.continueToken },
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }

  static fromStatus(status: Status): ApiError {
    return new ApiError(
      status.code ?? 500,
      status.reason ?? 'Unknown',
      status.message ?? 'unknown error',
      status.details,
      {
        continueToken: status.metadata?.continue,
      },
    );
  }
}

export interface ResourceName {
  readonly group: string;
  readonly resource: string;
}

const qualified = (r: ResourceName) => (r.group === '' ? r.resource : `${r.resource}.${r.group}`);
const detailsOf = (r: ResourceName, name?: string): StatusDetails => ({
  ...(name === undefined ? {} : { name }),
  ...(r.group === '' ? {} : { group: r.group }),
  kind: r.resource,
});

export function notFound(r: ResourceName, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${qualified(r)} "${name}" not found`, detailsOf(r, name));
}

export function alreadyExists(r: ResourceName, name: string): ApiError {
  return new ApiError(409, 'AlreadyExists', `${qualified(r)} "${name}" already exists`, detailsOf(r, name));
}

/** A name that the server drew is taken, as often as it tried. */
export function generatedNameTaken(r: ResourceName, name: string): ApiError {
  const message = `${qualified(r)} "${name}" already exists, the server was not able to generate a unique name for the object`;
  return new ApiError(409, 'AlreadyExists', message, { ...detailsOf(r, name), retryAfterSeconds: 1 });
}

export function conflict(r: ResourceName, name: string, why: string): ApiError {
  return new ApiError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(r)} "${name}": ${why}`,
    detailsOf(r, name),
  );
}

/** `why` starts with the subject in Kubernetes' words: `User "x" cannot list resource "pods" in API group "" in the namespace "y"`. */
export function forbidden(r: ResourceName, name: string, why: string): ApiError {
  const subject = name === '' ? qualified(r) : `${qualified(r)} "${name}"`;
  return new ApiError(
    403,
    'Forbidden',
    `${subject} is forbidden: ${why}`,
    detailsOf(r, name === '' ? undefined : name),
  );
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized');
}

export function tooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return new ApiError(429, 'TooManyRequests', message, { retryAfterSeconds });
}

export function resourceExpired(message: string, continueToken?: string): ApiError {
  return new ApiError(410, 'Expired', message, undefined, { continueToken });
}

export function internalError(cause: unknown): ApiError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new ApiError(
    500,
    'InternalError',
    `Internal error occurred: ${message}`,
    { causes: [{ message }] },
    { cause },
  );
}

function hasReason(err: unknown, reason: string): boolean {
  return err instanceof ApiError && err.reason === reason;
}

export const isNotFound = (err: unknown): boolean => err instanceof ApiError && err.code === 404;
export const isAlreadyExists = (err: unknown): boolean => hasReason(err, 'AlreadyExists');
export const isConflict = (err: unknown): boolean => hasReason(err, 'Conflict');
export const isForbidden = (err: unknown): boolean => hasReason(err, 'Forbidden');
export const isGone = (err: unknown): boolean => err instanceof ApiError && err.code === 410;
export const isInvalid = (err: unknown): boolean => hasReason(err, 'Invalid');
export const isTooManyRequests = (err: unknown): boolean => hasReason(err, 'TooManyRequests');
