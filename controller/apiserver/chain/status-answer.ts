import { stringify } from 'yaml';
import { ApiError, internalError, type Status } from '#api/object/api-error.ts';
import { CONTENT_TYPES, negotiate, type Representation } from '../handlers/negotiation.ts';
import type { ApiResponse, HeaderMap } from '../server/api-request.ts';
import { protobufOf } from './protobuf-answer.ts';

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

/** In the form that the client accepts; as JSON where it accepts none of ours. */
export function sendError(response: ApiResponse, err: ApiError, accept?: string): void {
  const seconds = err.details?.retryAfterSeconds;
  const headers: HeaderMap = seconds === undefined ? {} : { 'retry-after': String(seconds) };
  const status = err.toStatus();
  const media = acceptedMedia(accept);
  const protobuf = media === 'protobuf' ? protobufOf(status) : undefined;
  if (protobuf !== undefined) {
    response.send(err.code, { 'content-type': CONTENT_TYPES.protobuf, ...headers }, protobuf);
  } else if (media === 'yaml') {
    response.send(err.code, { 'content-type': CONTENT_TYPES.yaml, ...headers }, encoder.encode(stringify(status)));
  } else {
    sendJson(response, err.code, status, headers);
  }
}

function acceptedMedia(accept: string | undefined): Representation['media'] {
  try {
    return negotiate(accept).media;
  } catch (err) {
    if (err instanceof ApiError) return 'json';
    throw err;
  }
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
