import { type Clock, delay, systemClock } from '#base/clock.ts';
import { ApiError, type Status } from '../object/api-error.ts';
import { apiVersionOf, type ResourceInfo, resourcePath } from '../object/group-version.ts';
import { isJsonObject } from '../object/json.ts';
import type { Stored } from '../object/kube-object.ts';
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  Draft,
  KubeClient,
  ListOptions,
  ObjectList,
  PartialObject,
  PatchRequest,
  PatchType,
  RawRequest,
  ResourceClient,
  WatchEvent,
  WatchRequest,
} from './client.ts';
import { readLines } from './line-reader.ts';
import { MANAGED_FIELDS, OMIT_HEADER } from './omit-header.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';

export interface KubeClientOptions {
  /** Owner of the fields written, in managedFields; undefined = the server derives it from the user agent. */
  readonly fieldManager?: string;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Deadline of everything but watches. */
  readonly requestTimeoutMs?: number;
}

/** Above the server's own 60 s, so that its 504 arrives rather than our timeout. */
const REQUEST_TIMEOUT_MS = 65_000;
const MAX_RETRIES = 5;
const MAX_RETRY_AFTER_MS = 30_000;
const METADATA_ACCEPT =
  'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const METADATA_LIST_ACCEPT = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

const PATCH_CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

type QueryValue = string | number | boolean | undefined;

interface Call {
  readonly method: TransportRequest['method'];
  readonly path: string;
  readonly query?: Readonly<Record<string, QueryValue>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly omit?: typeof MANAGED_FIELDS;
  readonly signal?: AbortSignal;
}

const encoder = new TextEncoder();

function renderQuery(query: Readonly<Record<string, QueryValue>>): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== '' && value !== false);
  if (pairs.length === 0) return '';
  return `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`;
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** The Status of a failed answer, or a made-up one where something other than an API server answered. */
function toApiError(status: number, text: string): ApiError {
  try {
    const parsed: unknown = JSON.parse(text);
    if (isJsonObject(parsed) && parsed.kind === 'Status') {
      return ApiError.fromStatus({ ...(parsed as unknown as Status), code: Number(parsed.code ?? status) });
    }
  } catch (err) {
    if (!(err instanceof SyntaxError)) throw err;
  }
  return new ApiError(status, 'Unknown', `the server answered ${status}: ${text.slice(0, 500)}`);
}

/** Sends calls, decodes answers and repeats what the server asked to be repeated. */
class Caller {
  readonly #transport: Transport;
  readonly #options: KubeClientOptions;
  readonly fieldManager: string | undefined;

  constructor(transport: Transport, options: KubeClientOptions) {
    this.#transport = transport;
    this.#options = options;
    this.fieldManager = options.fieldManager;
  }

  async call<R>(call: Call): Promise<R> {
    const { random = Math.random, clock = systemClock } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const response = await this.send(call, this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
      const text = await readAll(response.body);
      if (response.status < 400) return (text === '' ? undefined : JSON.parse(text)) as R;
      const err = toApiError(response.status, text);
      const waitMs = retryAfterMs(call, response, err);
      if (waitMs === undefined || attempt >= MAX_RETRIES) throw err;
      await delay(clock, waitMs * (1 + random() / 4), call.signal);
    }
  }

  send(call: Call, timeoutMs: number | undefined): Promise<TransportResponse> {
    return this.#transport.request({
      method: call.method,
      path: `${call.path}${renderQuery(call.query ?? {})}`,
      headers: {
        accept: call.accept ?? 'application/json',
        ...(call.omit === undefined ? {} : { [OMIT_HEADER]: call.omit }),
        ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
      },
      ...(call.body === undefined ? {} : { body: encoder.encode(JSON.stringify(call.body)) }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }
}

/**
 * How long to wait before the call is repeated; undefined = it is not. 429 was refused before anything happened, so every method may
 * repeat it; 503 may have been half-way, so only those that may run twice. Evictions use 429 for "a budget forbids it": the
 * caller decides about those.
 */
function retryAfterMs(call: Call, response: TransportResponse, err: ApiError): number | undefined {
  const isSafe = response.status === 429 || (response.status === 503 && call.method !== 'POST');
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  if (!isSafe || !Number.isFinite(seconds) || call.path.endsWith('/eviction')) return undefined;
  return Math.min(MAX_RETRY_AFTER_MS, Math.max(seconds, err.details?.retryAfterSeconds ?? 0) * 1000);
}

class HttpResourceClient<T extends Stored<object>> implements ResourceClient<T> {
  readonly info: ResourceInfo;
  readonly #caller: Caller;
  readonly #isMetadataOnly: boolean;

  constructor(caller: Caller, info: ResourceInfo, isMetadataOnly: boolean) {
    this.#caller = caller;
    this.info = info;
    this.#isMetadataOnly = isMetadataOnly;
  }

  get #accept() {
    return this.#isMetadataOnly ? METADATA_ACCEPT : 'application/json';
  }

  fetch(name: string, namespace?: string, signal?: AbortSignal): Promise<T> {
    return this.#caller.call({
      method: 'GET',
      path: resourcePath(this.info, namespace, name),
      accept: this.#accept,
      signal,
    });
  }

  async fetchList(options: ListOptions = {}): Promise<ObjectList<T>> {
    const { namespace, signal, ...query } = options;
    const list = await this.#caller.call<{
      metadata: { resourceVersion: string; continue?: string };
      items: (T & { apiVersion?: string; kind?: string })[] | null;
    }>({
      method: 'GET',
      path: resourcePath(this.info, namespace),
      query,
      accept: this.#isMetadataOnly ? METADATA_LIST_ACCEPT : 'application/json',
      signal,
    });
    const items = list.items ?? [];
    // Items of a list carry no type of their own.
    for (const item of items) {
      item.apiVersion ??= apiVersionOf(this.info);
      item.kind ??= this.info.kind;
    }
    return { resourceVersion: list.metadata.resourceVersion, continue: list.metadata.continue || undefined, items };
  }

  async *watch(options: WatchRequest = {}): AsyncGenerator<WatchEvent<T>, void, void> {
    const { namespace, signal, ...query } = options;
    const response = await this.#caller.send(
      {
        method: 'GET',
        path: resourcePath(this.info, namespace),
        query: {
          ...query,
          watch: true,
          ...(options.sendInitialEvents ? { resourceVersionMatch: 'NotOlderThan' } : {}),
        },
        accept: this.#accept,
        ...(this.#isMetadataOnly ? { omit: MANAGED_FIELDS } : {}),
        signal,
      },
      undefined,
    );
    if (response.status >= 400) throw toApiError(response.status, await readAll(response.body));
    for await (const lines of readLines(response.body)) {
      for (const line of lines) {
        const event = JSON.parse(line) as WatchEvent<T>;
        if (event.type === 'ERROR') throw ApiError.fromStatus(event.object as unknown as Status);
        yield event;
      }
    }
  }

  create(object: Draft<T>, signal?: AbortSignal): Promise<T> {
    return this.#caller.call({
      method: 'POST',
      path: resourcePath(this.info, object.metadata.namespace),
      query: { fieldManager: this.#caller.fieldManager },
      body: { apiVersion: apiVersionOf(this.info), kind: this.info.kind, ...object },
      accept: this.#accept,
      signal,
    });
  }

  update(object: T, subresource?: string, signal?: AbortSignal): Promise<T> {
    return this.#caller.call({
      method: 'PUT',
      path: resourcePath(this.info, object.metadata.namespace, object.metadata.name, subresource),
      query: { fieldManager: this.#caller.fieldManager },
      body: { apiVersion: apiVersionOf(this.info), kind: this.info.kind, ...object },
      accept: this.#accept,
      signal,
    });
  }

  patch(request: PatchRequest): Promise<T> {
    return this.#caller.call({
      method: 'PATCH',
      path: resourcePath(this.info, request.namespace, request.name, request.subresource),
      query: { fieldManager: request.fieldManager ?? this.#caller.fieldManager, force: request.force },
      body: request.patch,
      contentType: PATCH_CONTENT_TYPES[request.type],
      accept: this.#accept,
      signal: request.signal,
    });
  }

  async delete(request: DeleteRequest): Promise<void> {
    const { namespace, name, signal, ...options } = request;
    await this.#caller.call({
      method: 'DELETE',
      path: resourcePath(this.info, namespace, name),
      body: { apiVersion: 'v1', kind: 'DeleteOptions', ...options },
      signal,
    });
  }

  async deleteCollection(request: DeleteCollectionRequest): Promise<void> {
    const { namespace, labelSelector, fieldSelector, signal, ...options } = request;
    await this.#caller.call({
      method: 'DELETE',
      path: resourcePath(this.info, namespace),
      query: { labelSelector, fieldSelector },
      body: { apiVersion: 'v1', kind: 'DeleteOptions', ...options },
      signal,
    });
  }

  post<R = unknown>(
    name: string,
    namespace: string | undefined,
    subresource: string,
    body: object,
    signal?: AbortSignal,
  ): Promise<R> {
    return this.#caller.call({
      method: 'POST',
      path: resourcePath(this.info, namespace, name, subresource),
      body,
      signal,
    });
  }
}

/** The client of every component of ours, over HTTPS or within the process. */
export function createKubeClient(transport: Transport, options: KubeClientOptions = {}): KubeClient {
  const caller = new Caller(transport, options);
  return {
    resource: <T extends Stored<object>>(info: ResourceInfo) => new HttpResourceClient<T>(caller, info, false),
    metadata: (info) => new HttpResourceClient<PartialObject>(caller, info, true),
    raw: <R>(request: RawRequest) => caller.call<R>(request),
  };
}
