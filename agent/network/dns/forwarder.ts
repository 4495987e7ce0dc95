import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { DnsExchange } from '../../host/host.ts';
import { AnswerCache, cacheKeyOf } from './answer-cache.ts';
import { copyOf, type DnsQuery, isResponse, isTruncated } from './dns-message.ts';

export interface UpstreamServer {
  readonly address: string;
  readonly port: number;
}

export interface ForwarderOptions {
  readonly exchange: DnsExchange;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who is asked for a name, in order. Called for each question that the cache does not answer. */
  readonly serversFor: (name: string) => Promise<readonly UpstreamServer[]>;
  /** 16 bits. */
  readonly randomId: () => number;
  readonly onAsked?: (server: UpstreamServer, elapsedMs: number | undefined) => void;
}

const TRY_TIMEOUT_MS = 1_500;
/** A server that was silent is asked last for this long. */
const PENALTY_MS = 10_000;
/** Beyond it, questions to silent servers would pile up without bound. */
const MAX_OPEN = 1_000;

/** Asks the resolvers of the host, and remembers. Resolves undefined when nobody answered. */
export class Forwarder {
  readonly cache: AnswerCache;
  readonly #options: ForwarderOptions;
  readonly #open = new Map<string, Promise<Uint8Array | undefined>>();
  readonly #silentUntilMs = new Map<string, number>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.cache = new AnswerCache({ clock: options.clock });
  }

  /** An answer that is there already. */
  findCached(query: DnsQuery): Uint8Array | undefined {
    return this.cache.find(cacheKeyOf(query), query);
  }

  async ask(query: DnsQuery): Promise<Uint8Array | undefined> {
    const key = cacheKeyOf(query);
    const cached = this.cache.find(key, query);
    if (cached !== undefined) return cached;
    let asking = this.#open.get(key);
    if (asking === undefined) {
      if (this.#open.size >= MAX_OPEN) return undefined;
      asking = this.#fetch(key, query).finally(() => this.#open.delete(key));
      this.#open.set(key, asking);
    }
    const fetched = await asking;
    if (fetched === undefined) return this.cache.find(key, query, true);
    return withClientsOwn(fetched, query);
  }

  async #fetch(key: string, query: DnsQuery): Promise<Uint8Array | undefined> {
    const { clock, serversFor, onAsked, log } = this.#options;
    for (const server of this.#order(await serversFor(query.name.toLowerCase()))) {
      const startedMs = clock.monotonic();
      try {
        const answer = await this.#askOne(server, query);
        onAsked?.(server, clock.monotonic() - startedMs);
        this.#silentUntilMs.delete(nameOf(server));
        // A server that refuses or fails itself may have a neighbour that does not.
        const code = (answer[3] ?? 0) & 0xf;
        if (code === 2 || code === 5) continue;
        this.cache.put(key, answer);
        return answer;
      } catch (err) {
        onAsked?.(server, undefined);
        this.#silentUntilMs.set(nameOf(server), clock.monotonic() + PENALTY_MS);
        log.debug('a resolver did not answer', { server: nameOf(server), err: describeError(err) });
      }
    }
    return undefined;
  }

  #order(servers: readonly UpstreamServer[]): UpstreamServer[] {
    const now = this.#options.clock.monotonic();
    const isSilent = (server: UpstreamServer) => (this.#silentUntilMs.get(nameOf(server)) ?? 0) > now;
    return [...servers.filter((server) => !isSilent(server)), ...servers.filter(isSilent)];
  }

  async #askOne(server: UpstreamServer, query: DnsQuery): Promise<Uint8Array> {
    const { exchange, randomId } = this.#options;
    const bytes = copyOf(query.bytes);
    // Neither the client's id nor its port: whoever guesses must guess both anew for each question.
    new DataView(bytes.buffer).setUint16(0, randomId());
    const isMine = (answer: Uint8Array) => isAnswerTo(bytes, answer, query.questionEnd);
    const options = { timeoutMs: TRY_TIMEOUT_MS, accept: isMine };
    const answer = await exchange({ ...server, transport: 'udp' }, bytes, options);
    return isTruncated(answer) ? exchange({ ...server, transport: 'tcp' }, bytes, options) : answer;
  }
}

export const nameOf = ({ address, port }: UpstreamServer): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

const DNS_PORT = 53;

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`. */
export function parseServer(text: string): UpstreamServer {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(text);
  if (bracketed !== null) return { address: bracketed[1]!, port: Number(bracketed[2] ?? DNS_PORT) };
  const [address = '', port] = text.split(':').length === 2 ? text.split(':') : [text];
  return { address, port: Number(port ?? DNS_PORT) };
}

/** Same id, a response, the same question (upper and lower case aside). */
function isAnswerTo(question: Uint8Array, answer: Uint8Array, questionEnd: number): boolean {
  if (answer.length < questionEnd || !isResponse(answer)) return false;
  if (answer[0] !== question[0] || answer[1] !== question[1]) return false;
  const lower = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);
  for (let at = 12; at < questionEnd; at++) if (lower(answer[at]!) !== lower(question[at]!)) return false;
  return true;
}

function withClientsOwn(answer: Uint8Array, query: DnsQuery): Uint8Array {
  const copy = copyOf(answer);
  new DataView(copy.buffer).setUint16(0, query.id);
  copy.set(query.bytes.subarray(12, query.questionEnd), 12);
  return copy;
}
