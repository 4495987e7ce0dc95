import type { Answer } from '../../server/testing/test-server.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface ContractCall {
  readonly method: Method;
  /** Path and query. */
  readonly path: string;
  /** Objects are sent as JSON. */
  readonly body?: object | string | Uint8Array | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface ContractResponse {
  readonly status: number;
  /** Names in lower case; several of one name are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** The client goes away. */
  cancel(): void;
}

/** An API server that the contract is checked against, however it is reached. */
export interface ContractTarget {
  call(call: ContractCall): Promise<ContractResponse>;
  /** Lets so much time pass for the server, where its clock is ours; a real one goes by itself. */
  elapse(ms: number): Promise<void>;
  /** Makes the store forget its history up to now. */
  compact(): Promise<void>;
  /** While `fn` runs all generated names are alike; undefined where chance is real. */
  readonly withoutChance?: (fn: () => Promise<void>) => Promise<void>;
  close(): Promise<void>;
}

export interface ContractReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
  readonly text: string;
  /** The decoded JSON; the text where it is none. */
  readonly body: Answer;
}

export interface Frame {
  readonly type: string;
  readonly object: Answer;
}

/** No frame of the contract takes this long, on however slow a machine. */
const FRAME_TIMEOUT_MS = 20_000;

/** A watch, frame by frame. */
export class WatchReader {
  readonly response: ContractResponse;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = '';

  constructor(response: ContractResponse) {
    this.response = response;
    this.#chunks = response.chunks[Symbol.asyncIterator]();
  }

  /** The next frame; undefined at the end. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return JSON.parse(line);
      }
      const { value, done } = await withTimeout(this.#chunks.next());
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** `TYPE name` of the next frames, `END` where there is none. */
  async summary(count: number): Promise<string[]> {
    const lines: string[] = [];
    for (let i = 0; i < count; i++) {
      const frame = await this.next();
      lines.push(frame === undefined ? 'END' : `${frame.type} ${frame.object.metadata?.name ?? ''}`.trim());
    }
    return lines;
  }

  /** All frames up to the end of the watch. */
  async rest(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let frame = await this.next(); frame !== undefined; frame = await this.next()) frames.push(frame);
    return frames;
  }

  cancel(): void {
    this.response.cancel();
  }
}

function withTimeout<T>(waiting: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no frame within ${FRAME_TIMEOUT_MS} ms`)), FRAME_TIMEOUT_MS);
    waiting.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** What the contract's tests ask with. */
export class ContractApi {
  readonly target: ContractTarget;
  #namespaces = 0;
  readonly #run = Math.random().toString(36).slice(2, 8);

  constructor(target: ContractTarget) {
    this.target = target;
  }

  async send(call: ContractCall): Promise<ContractReply> {
    const response = await this.target.call(call);
    const parts: Uint8Array[] = [];
    for await (const chunk of response.chunks) parts.push(chunk);
    const bytes = new Uint8Array(Buffer.concat(parts));
    const text = new TextDecoder().decode(bytes);
    const isJson = (response.headers['content-type'] ?? '').startsWith('application/json') && text !== '';
    const isPacked = response.headers['content-encoding'] !== undefined;
    return {
      status: response.status,
      headers: response.headers,
      bytes,
      text,
      body: isJson && !isPacked ? JSON.parse(text) : text,
    };
  }

  get(path: string, headers?: Record<string, string>): Promise<ContractReply> {
    return this.send({ method: 'GET', path, headers });
  }

  post(path: string, body: ContractCall['body'], headers?: Record<string, string>): Promise<ContractReply> {
    return this.send({ method: 'POST', path, body, headers });
  }

  put(path: string, body: ContractCall['body'], headers?: Record<string, string>): Promise<ContractReply> {
    return this.send({ method: 'PUT', path, body, headers });
  }

  delete(path: string, body?: ContractCall['body']): Promise<ContractReply> {
    return this.send({ method: 'DELETE', path, body });
  }

  /** `type`: json, merge, strategic or apply. */
  patch(path: string, type: PatchType, body: object | string): Promise<ContractReply> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.send({ method: 'PATCH', path, body: text, headers: { 'content-type': PATCH_TYPES[type] } });
  }

  /** Server-side apply as `manager`; `query` begins with `&`. */
  apply(path: string, manager: string, body: object | string, query = ''): Promise<ContractReply> {
    return this.patch(`${path}?fieldManager=${manager}${query}`, 'apply', body);
  }

  /** The answer's body; fails the test for any other status. */
  async expect(status: number, reply: Promise<ContractReply>): Promise<Answer> {
    const { status: actual, text, body } = await reply;
    if (actual !== status) throw new Error(`${actual} instead of ${status}: ${text.slice(0, 2_000)}`);
    return body;
  }

  async watch(path: string, headers?: Record<string, string>): Promise<WatchReader> {
    const response = await this.target.call({ method: 'GET', path, headers });
    if (response.status !== 200) throw new Error(`watch ${path}: ${response.status}`);
    return new WatchReader(response);
  }

  /** A namespace of its own, ready for pods. */
  async namespace(): Promise<string> {
    const name = `contract-${this.#run}-${++this.#namespaces}`;
    await this.expect(201, this.post('/api/v1/namespaces', { metadata: { name } }));
    const account = `/api/v1/namespaces/${name}/serviceaccounts`;
    // Whoever comes first makes it: this test, or the controller where one runs.
    await this.post(account, { metadata: { name: 'default' } });
    return name;
  }

  /** The newest revision there is. */
  async revision(): Promise<number> {
    const { body } = await this.get('/api/v1/namespaces?limit=1');
    return Number(body.metadata.resourceVersion);
  }
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** What a part of the contract is told when its tests are named. */
export interface ContractSuite {
  /** Valid while tests run. */
  api(): ContractApi;
  /** Over a network: compression, flow control, and a clock that nobody moves. */
  readonly isRemote: boolean;
}
