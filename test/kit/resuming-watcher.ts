import http2, { type ClientHttp2Session } from 'node:http2';
import type { KubeconfigAccess } from '#api/client/kubeconfig.ts';
import { requestOver } from './https-contract-target.ts';

/** Between two attempts to reach a server that is not there. */
const RETRY_MS = 50;

/** Asked for each connection: it may name another server every time. */
export interface AccessSource {
  readonly access: KubeconfigAccess;
}

/** One HTTP/2 connection that is made anew whenever it was lost. */
export class Connection {
  readonly #source: AccessSource;
  #session: ClientHttp2Session | undefined;
  #server = '';

  constructor(source: AccessSource) {
    this.#source = source;
  }

  /** That it led to last, for messages. */
  get server(): string {
    return this.#server;
  }

  get session(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      const { server, ca, cert, key } = this.#source.access;
      this.#server = server;
      this.#session = http2.connect(server, { ca: ca!, cert: cert!, key: key! });
      // Whoever uses it sees its own stream fail.
      this.#session.on('error', () => {});
    }
    return this.#session;
  }

  /** As when the network goes: everything under way fails. */
  cut(): void {
    this.#session?.destroy();
  }
}

export interface WatcherOptions {
  /** Of the collection, without a query. */
  readonly path: string;
  /** Empty for everything. */
  readonly labelSelector: string;
  readonly connection: Connection;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Leaves a watch after so many events at most, to come back. */
  readonly maxEventsPerWatch: number;
}

/** A client as it should be: lists once, watches, and resumes from the last revision it saw whatever happens. */
export class ResumingWatcher {
  /** Name to resourceVersion, as the events told. */
  readonly state = new Map<string, string>();
  /** Revisions of all events in the order they came. */
  readonly revisions: number[] = [];
  /** Revision of its first list: events after it are its own to see. */
  listedAt = 0;
  lists = 0;
  gone = 0;
  watches = 0;
  readonly problems: string[] = [];
  readonly #options: WatcherOptions;
  #revision = 0;
  #paused: Promise<void> | undefined;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  /** Where its events come from, for messages. */
  get server(): string {
    return this.#options.connection.server;
  }

  /** It stays away until the returned function is called. */
  pause(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#paused = promise;
    this.#leave?.();
    return () => {
      this.#paused = undefined;
      resolve();
    };
  }

  #leave: (() => void) | undefined;

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#leave?.(), { once: true });
    while (!signal.aborted) {
      await this.#paused;
      try {
        if (this.#revision === 0) await this.#list();
        await this.#watch(signal);
      } catch {
        // The server is away, or the connection was cut: what was seen stays seen.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #list(): Promise<void> {
    const body = await this.#json(`?${this.#selector()}`);
    this.lists += 1;
    this.state.clear();
    for (const { metadata } of body.items) this.state.set(metadata.name, metadata.resourceVersion);
    this.#revision = Number(body.metadata.resourceVersion);
    this.listedAt = this.#revision;
    this.revisions.length = 0;
  }

  #selector(): string {
    const { labelSelector } = this.#options;
    return labelSelector === '' ? '' : `labelSelector=${encodeURIComponent(labelSelector)}&`;
  }

  async #json(query: string) {
    const { path, connection } = this.#options;
    const response = await requestOver(connection.session, { method: 'GET', path: path + query });
    const parts: Uint8Array[] = [];
    for await (const chunk of response.chunks) parts.push(chunk);
    if (response.status !== 200) throw new Error(`list: ${response.status}`);
    return JSON.parse(Buffer.concat(parts).toString());
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { path, connection, random, maxEventsPerWatch } = this.#options;
    const timeout = random() < 0.3 ? `&timeoutSeconds=${3 + Math.floor(random() * 3)}` : '';
    const query = `?${this.#selector()}watch=true&allowWatchBookmarks=true&resourceVersion=${this.#revision}${timeout}`;
    const response = await requestOver(connection.session, { method: 'GET', path: path + query });
    this.watches += 1;
    if (response.status !== 200) throw new Error(`watch: ${response.status}`);
    this.#leave = () => response.cancel();
    if (signal.aborted || this.#paused !== undefined) return response.cancel();
    let left = 1 + Math.floor(random() * maxEventsPerWatch);
    let text = '';
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.chunks) {
        const lines = (text + decoder.decode(chunk, { stream: true })).split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) {
          this.#take(JSON.parse(line));
          left -= 1;
          if (left === 0) return response.cancel();
          if (this.#revision === 0) return;
        }
      }
    } finally {
      this.#leave = undefined;
    }
  }

  #take({
    type,
    object,
  }: {
    type: string;
    object: { code?: number; metadata: { name: string; resourceVersion: string } };
  }): void {
    if (type === 'ERROR') {
      if (object.code !== 410) this.problems.push(`ERROR of ${object.code}`);
      this.gone += 1;
      this.#revision = 0;
      return;
    }
    const { name, resourceVersion } = object.metadata;
    const revision = Number(resourceVersion);
    if (type === 'BOOKMARK') {
      if (revision < this.#revision) this.problems.push(`bookmark ${revision} after ${this.#revision}`);
      this.#revision = revision;
      return;
    }
    if (revision <= this.#revision) this.problems.push(`${type} ${name} at ${revision} after ${this.#revision}`);
    if (type === 'ADDED' && this.state.has(name)) this.problems.push(`ADDED ${name} at ${revision}, which was there`);
    if (type !== 'ADDED' && !this.state.has(name))
      this.problems.push(`${type} ${name} at ${revision}, which was not there`);
    if (type === 'DELETED') this.state.delete(name);
    else this.state.set(name, resourceVersion);
    this.#revision = revision;
    this.revisions.push(revision);
  }
}
