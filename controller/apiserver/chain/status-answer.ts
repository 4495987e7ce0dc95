import { ApiError, internalError, type Status } from '#api/object/api-error.ts';
import type { ApiResponse, HeaderMap } from '../server/api-request.ts';

const encoder = new TextEncoder();

export const JSON_TYPE = 'application/json';

/** What a thrown value means to the client: an ApiError as it is, everything else a 500 in Kubernetes' words. */
export function toApiError(err: unknown): ApiError {
  return err instanceof ApiError ? err : internalError(err);
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function sendJson(response: ApiResponse, code: number, value: unknown, headers: HeaderMap = {}): void {
  response.send(code, { 'content-type': JSON_TYPE, ...headers }, encodeJson(value));
}

export function sendText(response: ApiResponse, code: number, text: string): void {
  response.send(
    code,
    { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
    encoder.encode(text),
  );
}

export function sendError(response: ApiResponse, err: ApiError): void {
  const seconds = err.details?.retryAfterSeconds;
  sendJson(response, err.code, err.toStatus(), seconds === undefined ? {} : { 'retry-after': String(seconds) });
}

export interface SuccessDetails {
  readonly name: string;
  readonly group: string;
  readonly resource: string;
  readonly uid: string | undefined;
}

/** The answer of a delete whose object is gone, and of subresources that have nothing to show (binding). */
export function successStatus(details?: SuccessDetails, code?: number): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    ...(details === undefined
      ? {}
      : {
          details: {
            name: details.name,
            ...(details.group === '' ? {} : { group: details.group }),
            kind: details.resource,
            ...(details.uid === undefined ? {} : { uid: details.uid }),
          },
        }),
    ...(code === undefined ? {} : { code }),
  };
}
