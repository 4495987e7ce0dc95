import type { IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect, getCACertificates } from 'node:tls';
import { describeLostInteger, findLostIntegers, holdsHugeNumber } from '#api/codec/lost-integers.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { Clock } from '#base/clock.ts';
import { https } from '#base/node-http.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import { tlsOverStream } from '../../tunnel/tls-over-stream.ts';
import { describeNetworkError } from './network-error.ts';

/** `clientConfig` of webhook configurations and of CustomResourceDefinitions' conversion; exactly one of `url` and `service` is set. */
export interface WebhookClientConfig {
  readonly url?: string;
  readonly service?: {
    readonly namespace: string;
    readonly name: string;
    readonly path?: string;
    /** 443 where absent. */
    readonly port?: number;
  };
  /** PEM, in base64. Absent: the roots that the system trusts. */
  readonly caBundle?: string;
}

export interface WebhookCall {
  readonly clientConfig: WebhookClientConfig;
  /** Sent as JSON. */
  readonly body: object;
  /** From the dial to the end of the answer; told to the webhook as `?timeout=10s`. */
  readonly timeoutMs: number;
  /** Ends the call early, with the request that it is part of. */
  readonly signal?: AbortSignal;
}

/** The call brought no usable answer; the message is what client-go's REST client says: `Post "https://...": context deadline exceeded`. */
export class WebhookCallError extends Error {
  override readonly name = 'WebhookCallError';
  /** HTTP status of the webhook's answer; 0 where there was none. */
  readonly statusCode: number;
  constructor(message: string, statusCode: number, options?: { cause: unknown }) {
    super(message, options);
    this.statusCode = statusCode;
  }
}

/** Calls HTTPS servers of users' making: admission webhooks, conversion webhooks. */
export interface WebhookClient {
  /** Posts a review and answers the JSON object that came back. Rejects with WebhookCallError alone. */
  post(call: WebhookCall): Promise<JsonObject>;
  /** Closes idle connections. */
  close(): void;
}

export interface WebhookClientOptions {
  readonly dialer: ClusterDialer;
  readonly clock: Clock;
}

/** Of an answer: a patch can be as large as an object, and comes in base64. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** Connections are kept for this many endpoints. */
const MAX_AGENTS = 64;
const IDLE_MS = 30_000;
/** Go's transport of webhooks keeps two idle connections per host; more would only be held by bursts. */
const MAX_IDLE_SOCKETS = 2;

/** Connections to webhooks are kept open and used again: the handshake is most of a call's time. */
export function createWebhookClient(options: WebhookClientOptions): WebhookClient {
  const agents = new Map<string, Agent>();
  const agentOf = (endpoint: Endpoint): Agent => {
    const key = `${endpoint.key} ${endpoint.caBundle ?? ''}`;
    const agent = agents.get(key) ?? createAgent(endpoint, options.dialer);
    agents.delete(key);
    agents.set(key, agent);
    if (agents.size > MAX_AGENTS) {
      const [oldest] = agents.keys();
      agents.get(oldest!)?.destroy();
      agents.delete(oldest!);
    }
    return agent;
  };
  return {
    async post(call) {
      const endpoint = endpointOf(call);
      const { deadline, stop } = startDeadline(options.clock, call);
      const attempt = () => exchange({ call, endpoint, agent: agentOf(endpoint), signal: deadline });
      try {
        return parseAnswer(await attempt().catch((err) => (isTornReuse(err) ? attempt() : Promise.reject(err))));
      } catch (err) {
        if (err instanceof WebhookCallError) throw err;
        const why = deadline.aborted ? String(deadline.reason) : describeNetworkError(nameService(err, call));
        throw new WebhookCallError(`Post "${endpoint.text}": ${why}`, 0, { cause: err });
      } finally {
        stop();
      }
    },
    close() {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    },
  };
}

interface Endpoint {
  readonly url: URL;
  /** As messages show it. */
  readonly text: string;
  /** Endpoints with equal keys may share connections. */
  readonly key: string;
  readonly serverName: string;
  readonly caBundle: string | undefined;
  /** Undefined for URLs: those are reached from the controller's own host. */
  readonly service: WebhookClientConfig['service'];
}

function endpointOf({ clientConfig, timeoutMs }: WebhookCall): Endpoint {
  const { service, caBundle } = clientConfig;
  const url = service === undefined ? parseUrl(clientConfig.url) : serviceUrl(service);
  url.searchParams.set('timeout', `${Math.ceil(timeoutMs / 1000)}s`);
  const key = `${service === undefined ? 'url' : 'service'} ${url.host}`;
  // A Service's port is shown even where it is https' own, as in client-go's messages.
  const host = service === undefined ? url.host : `${url.hostname}:${service.port ?? 443}`;
  const text = `https://${host}${url.pathname}${url.search}`;
  return { url, text, key, serverName: url.hostname.replace(/^\[|\]$/g, ''), caBundle, service };
}

function parseUrl(text = ''): URL {
  if (!URL.canParse(text)) throw new WebhookCallError(`parse ${JSON.stringify(text)}: invalid URL`, 0);
  return new URL(text);
}

function serviceUrl({ namespace, name, path = '', port = 443 }: NonNullable<WebhookClientConfig['service']>): URL {
  const url = new URL(`https://${name}.${namespace}.svc:${port}`);
  const [pathname = '', search = ''] = path.split('?', 2);
  url.pathname = pathname;
  url.search = search;
  return url;
}

function startDeadline(clock: Clock, { timeoutMs, signal }: WebhookCall): { deadline: AbortSignal; stop: () => void } {
  const abort = new AbortController();
  const cancelTimer = clock.after(timeoutMs, () => abort.abort('context deadline exceeded'));
  const onGone = () => abort.abort('context canceled');
  signal?.addEventListener('abort', onGone, { once: true });
  if (signal?.aborted) onGone();
  return {
    deadline: abort.signal,
    stop() {
      cancelTimer();
      signal?.removeEventListener('abort', onGone);
    },
  };
}

function createAgent(endpoint: Endpoint, dialer: ClusterDialer): Agent {
  const agent = new https.Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: IDLE_MS });
  const ca = endpoint.caBundle === undefined ? getCACertificates('system') : decodeBundle(endpoint.caBundle);
  // An address has no server name in TLS; it is checked against the certificate all the same.
  const isName = !/^[\d.]+$|:/.test(endpoint.serverName);
  const tls = {
    ...(ca.length === 0 ? {} : { ca }),
    host: endpoint.serverName,
    ...(isName ? { servername: endpoint.serverName } : {}),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2' as const,
  };
  const secure = (raw: Duplex | undefined): Duplex =>
    raw === undefined ? connect({ ...tls, port: Number(endpoint.url.port) || 443 }) : tlsOverStream(raw, tls);
  const { service } = endpoint;
  // Node's own seam for connections that come later; its types know the synchronous form alone.
  agent.createConnection = (_options, done) => {
    if (service === undefined) return secure(undefined);
    const { namespace, name, port = 443 } = service;
    dialer.dial({ kind: 'service', namespace, name, port }).then(
      (raw) => done?.(null, secure(raw)),
      (err: Error) => done?.(err, undefined as unknown as Duplex),
    );
    return undefined;
  };
  return agent;
}

const decodeBundle = (base64: string): string[] => [Buffer.from(base64, 'base64').toString('utf8')];

interface Exchange {
  readonly call: WebhookCall;
  readonly endpoint: Endpoint;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly statusCode: number;
  readonly body: Buffer;
}

function exchange({ call, endpoint, agent, signal }: Exchange): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { url } = endpoint;
    const payload = Buffer.from(JSON.stringify(call.body));
    const outgoing = https.request({
      method: 'POST',
      path: `${url.pathname}${url.search}`,
      headers: {
        host: url.host,
        accept: 'application/json, */*',
        'content-type': 'application/json',
        'content-length': payload.byteLength,
        'user-agent': 'kube-apiserver-admission',
      },
      agent,
      signal,
    });
    outgoing.once('response', (answer) => readAnswer(answer).then(resolve, reject));
    outgoing.once('error', (err) => reject(Object.assign(err, { isReused: outgoing.reusedSocket })));
    outgoing.end(payload);
  });
}

/** A server closes idle connections when it likes; a request that crossed the closing was not read and is sent anew. */
const isTornReuse = (err: { readonly code?: string; readonly isReused?: boolean }): boolean =>
  err.isReused === true && (err.code === 'ECONNRESET' || err.code === 'EPIPE');

async function readAnswer(answer: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      answer.destroy();
      throw new WebhookCallError(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`, answer.statusCode ?? 0);
    }
    chunks.push(chunk);
  }
  return { statusCode: answer.statusCode ?? 0, body: Buffer.concat(chunks) };
}

/** client-go's sentences for answers that are no success, where the body is no Status. */
const STATUS_SENTENCES: Readonly<Record<number, string>> = {
  400: 'the server rejected our request for an unknown reason',
  401: 'the server has asked for the client to provide credentials',
  403: 'unknown',
  404: 'the server could not find the requested resource',
  405: 'the server does not allow this method on the requested resource',
  415: 'the body of the request was in an unknown format - accepted media types include: ',
  429: 'the server has received too many requests and has asked us to try again later',
  503: 'the server is currently unable to handle the request',
  504: 'the server was unable to return a response in the time allotted, but may still be processing the request',
};

function parseAnswer({ statusCode, body }: Answer): JsonObject {
  const text = body.toString('utf8');
  if (statusCode < 200 || statusCode > 206) throw new WebhookCallError(failureText(statusCode, text), statusCode);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    const message = `couldn't get version/kind; json parse error: ${err instanceof Error ? err.message : err}`;
    throw new WebhookCallError(message, statusCode, { cause: err });
  }
  if (!isJsonObject(value)) throw new WebhookCallError("couldn't get version/kind; no JSON object", statusCode);
  const [lost] = holdsHugeNumber(value) ? findLostIntegers(text, 'json') : [];
  if (lost !== undefined) throw new WebhookCallError(describeLostInteger(lost), statusCode);
  return value;
}

function failureText(statusCode: number, text: string): string {
  try {
    const status: unknown = JSON.parse(text);
    if (isJsonObject(status) && status.kind === 'Status' && typeof status.message === 'string') return status.message;
  } catch {
    // No Status: the sentence for its code says enough.
  }
  if (statusCode >= 500 && statusCode !== 503 && statusCode !== 504) {
    const said = text.trim() || 'unknown';
    return `an error on the server (${JSON.stringify(said)}) has prevented the request from succeeding`;
  }
  return (
    STATUS_SENTENCES[statusCode] ??
    `the server responded with the status code ${statusCode} but did not return more information`
  );
}

/** The dialer speaks of resources; whoever reads about a webhook wants the sentence of Kubernetes' service resolver. */
function nameService(err: unknown, { clientConfig }: WebhookCall): unknown {
  const isMissing = (err as { code?: unknown } | undefined)?.code === 404;
  return isMissing ? new Error(`service ${JSON.stringify(clientConfig.service?.name ?? '')} not found`) : err;
}
