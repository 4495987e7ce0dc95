import type { IncomingMessage } from 'node:http';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ApiServiceIndex, RemoteApi } from './api-service-index.ts';
import { AGGREGATOR_USER } from './availability.ts';
import { RemoteDiscovery } from './remote-discovery.ts';
import { RemoteOpenApi } from './remote-openapi.ts';
import type { RemoteServers } from './remote-server.ts';

export interface DocumentRequest {
  readonly path: string;
  readonly accept: string;
  readonly etag?: string | undefined;
}

export interface DocumentAnswer {
  readonly status: number;
  readonly etag: string | undefined;
  /** Undefined where the answer is no JSON object. */
  readonly body: JsonObject | undefined;
}

/** Asks a server behind an APIService in the aggregator's own name. Rejects when it does not answer in time. */
export type FetchRemote = (remote: RemoteApi, request: DocumentRequest) => Promise<DocumentAnswer>;

export interface RemoteDocumentsDeps {
  readonly index: ApiServiceIndex;
  readonly servers: RemoteServers;
  readonly clock: Clock;
  readonly log: Logger;
}

const REFRESH_MS = 60_000;
const RETRY_MS = 5_000;
const TIMEOUT_MS = 5_000;
/** Of one document: Kubernetes' own OpenAPI of everything is a few megabytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Discovery and OpenAPI of all remote groups, asked for again every minute and when an APIService changes. */
export class RemoteDocuments {
  readonly discovery: RemoteDiscovery;
  readonly openApi: RemoteOpenApi;
  readonly #deps: RemoteDocumentsDeps;
  readonly #timers = new Map<string, () => void>();
  #stopped = false;

  constructor(deps: RemoteDocumentsDeps) {
    this.#deps = deps;
    this.discovery = new RemoteDiscovery(deps.index);
    this.openApi = new RemoteOpenApi(deps.index);
    deps.index.listen({ onChange: (name, remote) => this.#onChange(name, remote) });
    for (const { name } of deps.index.remotes) this.#schedule(name, 0);
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#timers.values()) cancel();
  }

  #onChange(name: string, remote: RemoteApi | undefined): void {
    if (remote !== undefined) {
      this.#schedule(name, 0);
      return;
    }
    this.#timers.get(name)?.();
    this.#timers.delete(name);
    this.discovery.forget(name);
    this.openApi.forget(name);
  }

  #schedule(name: string, delayMs: number): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
    if (!this.#stopped)
      this.#timers.set(
        name,
        this.#deps.clock.after(delayMs, () => void this.#refresh(name)),
      );
  }

  async #refresh(name: string): Promise<void> {
    this.#timers.delete(name);
    const { index, log } = this.#deps;
    const remote = index.byName(name);
    if (remote === undefined) return;
    let isFresh = false;
    try {
      if (remote.isAvailable) {
        const fetch: FetchRemote = (from, request) => this.#fetch(from, request);
        await this.discovery.refresh(remote, fetch);
        await this.openApi.refresh(remote, fetch);
        isFresh = true;
      } else this.discovery.markStale(remote);
    } catch (err) {
      log.debug('asking the server of an APIService failed', { apiService: name, err: describeError(err) });
    }
    if (index.byName(name) === undefined) {
      this.discovery.forget(name);
      this.openApi.forget(name);
    } else if (!this.#timers.has(name)) this.#schedule(name, isFresh || !remote.isAvailable ? REFRESH_MS : RETRY_MS);
  }

  async #fetch(remote: RemoteApi, { path, accept, etag }: DocumentRequest): Promise<DocumentAnswer> {
    const { clock, servers } = this.#deps;
    const abort = new AbortController();
    const cancelTimer = clock.after(TIMEOUT_MS, () => abort.abort());
    try {
      const headers = { accept, ...(etag === undefined ? {} : { 'if-none-match': etag }) };
      const request = { method: 'GET', path, headers, user: AGGREGATOR_USER, signal: abort.signal };
      const answer = await servers.fetch(remote, request);
      const body = await readJson(answer);
      return { status: answer.statusCode ?? 0, etag: answer.headers.etag, body };
    } finally {
      cancelTimer();
    }
  }
}

async function readJson(answer: IncomingMessage): Promise<JsonObject | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new Error(`the answer is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    // A server without this document answers with whatever it likes.
    return undefined;
  }
}
