import type { Transport, TransportResponse } from '#api/client/transport.ts';
import type { Operation, OperationKind, Value } from '../history/operation.ts';

export const COLLECTION = '/api/v1/namespaces/chaos/configmaps';

export interface LoadOptions {
  /** One for each client: no client does two things at once. */
  readonly transports: readonly Transport[];
  readonly keys: number;
  /** Every second client only reads, and asks for any state however old: a mutant that the check must catch. */
  readonly hasStaleReaders?: boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
}

export interface Load {
  readonly history: Operation[];
  /** resourceVersions of acknowledged writes; deletions tell none. */
  readonly acknowledged: number[];
  /** Answers that no client of a healthy or unhealthy cluster should get, each once. */
  readonly surprises: Set<string>;
  /** How many answers there were, by status; 0 = none came. */
  readonly statuses: Map<number, number>;
  /** The longest time in which one of the clients had no answer that told it anything. */
  readonly longestSilenceMs: () => number;
  /** Resolves when every client has ended. */
  readonly ended: Promise<void>;
}

/** Long enough for a leader of etcd to be elected. */
const TIMEOUT_MS = 15_000;
/** After a failure: a client that tries on without a pause is a load of its own. */
const PAUSE_MS = 20;
/** One operation in so many reads all keys at once. */
const LIST_EVERY = 150;

interface Seen {
  readonly value: Value;
  readonly resourceVersion: string;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly endMs: number;
}

/** Clients that create, read, replace, swap and delete, and write down what they were told. */
export function startLoad(options: LoadOptions): Load {
  const load = {
    history: [] as Operation[],
    acknowledged: [] as number[],
    surprises: new Set<string>(),
    statuses: new Map<number, number>(),
  };
  let nextValue = 1;
  const clients = options.transports.map(
    (transport, client) => new Client({ ...options, transport, client, load, newValue: () => nextValue++ }),
  );
  return {
    ...load,
    longestSilenceMs: () => Math.max(...clients.map(({ longestSilenceMs }) => longestSilenceMs)),
    ended: Promise.all(clients.map((client) => client.run())).then(() => {}),
  };
}

interface ClientOptions extends LoadOptions {
  readonly transport: Transport;
  readonly client: number;
  readonly load: Omit<Load, 'ended' | 'longestSilenceMs'>;
  readonly newValue: () => Value;
}

class Client {
  readonly #options: ClientOptions;
  /** What it last saw of each key, for swaps. */
  readonly #seen = new Map<string, Seen>();
  longestSilenceMs = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal, random, keys } = this.#options;
    let wellMs = performance.now();
    while (!signal.aborted) {
      const isWell =
        random() * LIST_EVERY < 1 ? await this.#list() : await this.#one(`k${Math.floor(random() * keys)}`);
      this.longestSilenceMs = Math.max(this.longestSilenceMs, performance.now() - wellMs);
      if (isWell) wellMs = performance.now();
      else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  get #isStaleReader(): boolean {
    return this.#options.hasStaleReaders === true && this.#options.client % 2 === 1;
  }

  get #readQuery(): string {
    return this.#isStaleReader ? '?resourceVersion=0' : '';
  }

  async #list(): Promise<boolean> {
    const startMs = performance.now();
    const answer = await this.#send('GET', COLLECTION + this.#readQuery);
    if (answer?.status !== 200) return false;
    const { items } = JSON.parse(answer.body) as { items: RawConfigMap[] };
    const values = new Map(items.map((item) => [item.metadata.name, numberIn(item)]));
    for (let i = 0; i < this.#options.keys; i++)
      this.#note({ type: 'read', value: values.get(`k${i}`) }, { key: `k${i}`, startMs, endMs: answer.endMs });
    return true;
  }

  /** False when the answer told nothing. */
  async #one(key: string): Promise<boolean> {
    const kind = this.#choose(key);
    const startMs = performance.now();
    const answer = await this.#perform(key, kind);
    const outcome = answer === undefined ? 'unknown' : this.#outcomeOf(kind, answer);
    if (outcome === 'unknown') {
      this.#seen.delete(key);
      // A read without an answer tells nothing at all.
      if (kind.type !== 'read') this.#note(kind, { key, startMs, endMs: Number.POSITIVE_INFINITY, outcome });
      return false;
    }
    const { status, body, endMs } = answer!;
    if (status >= 300 || kind.type === 'delete') this.#seen.delete(key);
    else this.#remember(key, kind, body);
    const told = kind.type === 'read' ? { ...kind, value: this.#seen.get(key)?.value } : kind;
    this.#note(told, { key, startMs, endMs, outcome });
    return true;
  }

  #choose(key: string): OperationKind {
    const { random, newValue } = this.#options;
    const seen = this.#seen.get(key);
    const draw = random();
    if (draw < 0.4 || this.#isStaleReader) return { type: 'read', value: undefined };
    if (seen === undefined)
      return draw < 0.7 ? { type: 'create', value: newValue() } : { type: 'put', value: newValue() };
    if (draw < 0.75) return { type: 'swap', expected: seen.value, value: newValue() };
    return draw < 0.9 ? { type: 'put', value: newValue() } : { type: 'delete' };
  }

  #perform(key: string, kind: OperationKind): Promise<Answer | undefined> {
    const path = `${COLLECTION}/${key}`;
    switch (kind.type) {
      case 'read':
        return this.#send('GET', path + this.#readQuery);
      case 'delete':
        return this.#send('DELETE', path);
      case 'create':
        return this.#send('POST', COLLECTION, configMap(key, kind.value));
      case 'put':
        return this.#send('PUT', path, configMap(key, kind.value));
      case 'swap':
        return this.#send('PUT', path, configMap(key, kind.value, this.#seen.get(key)?.resourceVersion));
    }
  }

  #outcomeOf({ type }: OperationKind, { status, body }: Answer): Operation['outcome'] {
    if (status < 300) return 'ok';
    if (type === 'read') return status === 404 ? 'ok' : 'unknown';
    if (status === 404 && type !== 'create') return 'refused';
    if (status === 409 && (type === 'create' || type === 'swap')) return 'refused';
    if (status < 500 && status !== 429) this.#options.load.surprises.add(`${type}: ${status} ${body.slice(0, 200)}`);
    return 'unknown';
  }

  #remember(key: string, kind: OperationKind, body: string): void {
    const object = JSON.parse(body) as RawConfigMap;
    const { resourceVersion } = object.metadata;
    this.#seen.set(key, { value: numberIn(object), resourceVersion });
    if (kind.type !== 'read') this.#options.load.acknowledged.push(Number(resourceVersion));
  }

  #note(
    kind: OperationKind,
    facts: { key: string; startMs: number; endMs: number; outcome?: Operation['outcome'] },
  ): void {
    const { load, client } = this.#options;
    load.history.push({ kind, client, outcome: 'ok', ...facts });
  }

  async #send(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<Answer | undefined> {
    const { transport, load } = this.#options;
    const count = (status: number) => load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1);
    try {
      const response = await transport.request({
        method,
        path,
        timeoutMs: TIMEOUT_MS,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: new TextEncoder().encode(JSON.stringify(body)) }),
      });
      const text = await readText(response);
      count(response.status);
      return { status: response.status, body: text, endMs: performance.now() };
    } catch {
      // Whatever it was, nobody knows what became of the request.
      count(0);
      return undefined;
    }
  }
}

interface RawConfigMap {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly data: { readonly v: string };
}

const numberIn = ({ data }: RawConfigMap): Value => Number(data.v);

const configMap = (name: string, value: Value, resourceVersion?: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  data: { v: String(value) },
});

async function readText(response: TransportResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
