import { type ClientHttp2Session, connect } from 'node:http2';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { expiredPeer } from './peer-expiry.ts';
import { TransportError } from './transport.ts';

/** PEM texts. */
export interface ServerCredentials {
  /** Trusted roots; undefined = the system's. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Bearer token, or a function asked before every request: it caches. */
  readonly token?: string | (() => Promise<string>);
  /** Name that the server's certificate must carry; undefined = the host of its address. */
  readonly serverName?: string;
}

export interface SessionPoolOptions extends ServerCredentials {
  readonly servers: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Where another server is to be had, it is tried beside one that lets us wait for this long. */
const HEAD_START_MS = 1_500;

interface PingTimes {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** A silent peer is asked this often, and given up this much later: frozen hosts and cut cables give no other sign. */
const LONE_SERVER_PING: PingTimes = { intervalMs: 20_000, timeoutMs: 10_000 };
/** Whoever may go elsewhere learns of a silent peer within some 3 s. */
const SEVERAL_SERVERS_PING: PingTimes = { intervalMs: 2_000, timeoutMs: 1_200 };
/** So many failures of the server's own in a row, of reads or of writes, make us try another. */
const MAX_BAD_ANSWERS = 3;
/** Not more often than this: what fails everywhere must not make us run in circles. */
const MIN_STAY_MS = 10_000;
/** Full jitter: a thousand agents that lose one server come back spread over the window. */
const RECONNECT = { initialMs: 500, maxMs: 10_000, jitter: 1 };
/** Another server is at hand; the jitter is for its sake. */
const FIRST_FAILOVER_MS = 300;
/** Node's default of 10 MB refuses new streams once slow readers have that much waiting. */
const SESSION_MEMORY_MB = 64;
const WINDOW_BYTES = 1024 * 1024;

type State =
  | { readonly type: 'closed' }
  | { readonly type: 'idle' }
  | { readonly type: 'connecting'; readonly session: Promise<ClientHttp2Session> }
  | { readonly type: 'ready'; readonly session: ClientHttp2Session };

/** Holds at most one connection for new requests; older ones end when their streams do. */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #sessions = new Set<ClientHttp2Session>();
  readonly #closing = new AbortController();
  #credentials: ServerCredentials;
  #servers: readonly string[];
  #state: State = { type: 'idle' };
  /** Rotates through the servers; stays on one that works. */
  #serverIndex = 0;
  /** Connections lost or refused since one last carried an answer to our first ping. */
  #failures = 0;
  /** Grows with every change of keys, so that a connection being made with old ones is not kept. */
  #generation = 0;
  readonly #badAnswers = { read: 0, write: 0 };
  #leftMs = Number.NEGATIVE_INFINITY;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
    this.#credentials = options;
    this.#servers = options.servers;
  }

  /** A connected session; rejects with TransportError after every server was tried once. */
  acquire(): Promise<ClientHttp2Session> {
    const state = this.#state;
    if (state.type === 'closed') return Promise.reject(new TransportError('the transport is closed'));
    if (state.type === 'connecting') return state.session;
    if (state.type === 'ready' && !state.session.closed && !state.session.destroyed)
      return Promise.resolve(state.session);
    const session = this.#connectAny();
    this.#state = { type: 'connecting', session };
    return session;
  }

  /** Ends every connection: the address of this host that they went out from is gone, and they would notice much later. */
  reconnect(): void {
    if (this.#state.type !== 'closed') this.#state = { type: 'idle' };
    for (const session of this.#sessions) session.destroy(new Error('the address of this host changed'));
  }

  updateCredentials(credentials: ServerCredentials): void {
    const previous = this.#credentials;
    this.#credentials = credentials;
    const isSame = (['ca', 'cert', 'key', 'serverName'] as const).every((name) => previous[name] === credentials[name]);
    if (isSame) return;
    this.#generation++;
    if (this.#state.type !== 'ready') return;
    this.#state.session.close();
    this.#state = { type: 'idle' };
  }

  /** The connection at hand stays while it lives, and the server that it leads to comes first where it is named again. */
  updateServers(servers: readonly string[]): void {
    if (servers.length === 0) return;
    const current = this.#current;
    this.#servers = servers;
    this.#serverIndex = Math.max(0, servers.indexOf(current));
  }

  /**
   * What came of a request. A server that answers and yet cannot serve (it lost its etcd, say) is left for another after a few failures;
   * what is under way on its connection may end there.
   */
  report(session: ClientHttp2Session, kind: 'read' | 'write', isBad: boolean): void {
    if (!isBad) {
      this.#badAnswers[kind] = 0;
      return;
    }
    const nowMs = this.#options.clock.monotonic();
    if (this.#servers.length < 2 || this.#state.type !== 'ready' || this.#state.session !== session) return;
    if (++this.#badAnswers[kind] < MAX_BAD_ANSWERS || nowMs - this.#leftMs < MIN_STAY_MS) return;
    this.#options.log.warn('API server fails, trying another', { server: this.#current });
    this.#leftMs = nowMs;
    this.#leave(session);
    session.close();
  }

  get #current(): string {
    return this.#servers[this.#serverIndex % this.#servers.length]!;
  }

  /** The next connection is made to the next server. */
  #leave(session: ClientHttp2Session): void {
    if (this.#state.type !== 'ready' || this.#state.session !== session) return;
    this.#state = { type: 'idle' };
    this.#serverIndex++;
    this.#badAnswers.read = 0;
    this.#badAnswers.write = 0;
  }

  close(): void {
    this.#state = { type: 'closed' };
    this.#closing.abort(new TransportError('the transport was closed'));
    for (const session of this.#sessions) session.destroy();
  }

  async #connectAny(): Promise<ClientHttp2Session> {
    try {
      if (this.#failures > 0) await delay(this.#options.clock, this.#waitMs(), this.#closing.signal);
      const session = await this.#tryServers();
      if (this.#state.type === 'closed') {
        session.destroy();
        throw new TransportError('the transport is closed');
      }
      this.#state = { type: 'ready', session };
      return session;
    } catch (err) {
      if (this.#state.type !== 'closed') this.#state = { type: 'idle' };
      throw err;
    }
  }

  #waitMs(): number {
    const { random } = this.#options;
    const initialMs = this.#failures === 1 && this.#servers.length > 1 ? FIRST_FAILOVER_MS : RECONNECT.initialMs;
    return backoffDelayMs(this.#failures, { ...RECONNECT, initialMs, random });
  }

  async #tryServers(): Promise<ClientHttp2Session> {
    for (;;) {
      const generation = this.#generation;
      const servers = this.#servers.map((_, i) => this.#servers[(this.#serverIndex + i) % this.#servers.length]!);
      try {
        const { server, session } = await this.#race(servers);
        if (generation !== this.#generation) {
          session.destroy();
          continue;
        }
        this.#serverIndex = Math.max(0, this.#servers.indexOf(server));
        return session;
      } catch (cause) {
        this.#failures++;
        throw new TransportError(`cannot connect to ${servers.join(', ')}: ${describeError(cause)}`, { cause });
      }
    }
  }

  /** The first of the servers to answer; each is given a head start before the next one. Rejects with the last failure. */
  #race(servers: readonly string[]): Promise<{ readonly server: string; readonly session: ClientHttp2Session }> {
    const { clock, log } = this.#options;
    return new Promise((resolve, reject) => {
      let started = 0;
      let failed = 0;
      let isOver = false;
      let stopTimer = () => {};
      const startNext = () => {
        stopTimer();
        const server = servers[started];
        if (isOver || server === undefined) return;
        started++;
        stopTimer = clock.after(HEAD_START_MS, startNext);
        this.#connect(server).then(
          (session) => {
            if (isOver) {
              session.destroy();
              return;
            }
            isOver = true;
            stopTimer();
            resolve({ server, session });
          },
          (err: unknown) => {
            failed++;
            log.debug('Cannot connect to API server', { server, err: describeError(err) });
            if (failed < servers.length) startNext();
            else if (!isOver) {
              stopTimer();
              reject(err);
            }
          },
        );
      };
      startNext();
    });
  }

  #connect(server: string): Promise<ClientHttp2Session> {
    return new Promise((resolve, reject) => {
      const { ca, cert, key, serverName } = this.#credentials;
      const session = connect(server, {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { servername: serverName }),
        maxSessionMemory: SESSION_MEMORY_MB,
        settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      });
      this.#sessions.add(session);
      const stopTimer = this.#options.clock.after(CONNECT_TIMEOUT_MS, () =>
        session.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)),
      );
      session.once('connect', () => {
        stopTimer();
        // Told a turn later: the end may have come in between, and every call would throw where nobody catches.
        if (session.destroyed) return;
        const problem = session.encrypted ? expiredPeer(session.socket, this.#options.clock) : undefined;
        if (problem !== undefined) {
          session.destroy(problem);
          return;
        }
        session.setLocalWindowSize(4 * WINDOW_BYTES);
        this.#keepAlive(session, server);
        resolve(session);
      });
      // The server ends: what it has begun it finishes, everything new goes to the next one.
      session.once('goaway', () => this.#leave(session));
      session.on('error', reject);
      session.once('close', () => {
        stopTimer();
        this.#sessions.delete(session);
        reject(new Error('connection closed'));
      });
    });
  }

  #keepAlive(session: ClientHttp2Session, server: string): void {
    let stop = () => {};
    const ping = () => {
      const { intervalMs, timeoutMs } = this.#servers.length > 1 ? SEVERAL_SERVERS_PING : LONE_SERVER_PING;
      stop = this.#options.clock.after(timeoutMs, () => {
        this.#options.log.warn('API server does not answer pings', { server });
        session.destroy(new Error('no answer to a ping'));
      });
      if (session.destroyed) return;
      session.ping((err) => {
        stop();
        if (err !== null) return;
        this.#failures = 0;
        stop = this.#options.clock.after(intervalMs, ping);
      });
    };
    ping();
    session.once('close', () => {
      stop();
      if (this.#state.type !== 'ready' || this.#state.session !== session) return;
      // The server that went away is not asked first again, and not at once.
      this.#failures++;
      this.#leave(session);
    });
  }
}
