import { ApiError, badRequest } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ApiRequest, ApiResponse } from '../server/api-request.ts';
import { ChainResponse } from './chain-response.ts';
import type { Filter, RequestContext, RequestInfo, UserInfo } from './request-context.ts';
import { RequestDeadlines } from './request-deadlines.ts';
import { computeRequestInfo } from './request-info.ts';
import { sendError, toApiError } from './status-answer.ts';

/** Kubernetes' `--request-timeout`; a smaller `timeout` in the query wins. */
const REQUEST_TIMEOUT_MS = 60_000;

const LONG_RUNNING_SUBRESOURCES: ReadonlySet<string> = new Set([
  'attach',
  'exec',
  'log',
  'portforward',
  'proxy',
  'references',
  'tunnel',
]);

/**
 * The order of the links. `filters` come from the composition root by these names, and the chain refuses to start with one missing,
 * doubled or unknown: a server that forgot to authorize must not come up.
 */
export const FILTER_ORDER = ['authenticate', 'audit', 'impersonate', 'flow-control', 'authorize'] as const;

export type RequestHandler = (context: RequestContext) => Promise<void>;

export interface RequestOutcome {
  readonly statusCode: number;
  readonly elapsedMs: number;
  readonly sentBytes: number;
  /** The answer had begun when something failed: its client got a part of it. */
  readonly isAborted: boolean;
}

/** What the chain tells of each request; what `onStart` answers comes back at its end. */
export interface RequestObserver<Token = unknown> {
  onStart(context: RequestContext): Token;
  onEnd(token: Token, outcome: RequestOutcome): void;
}

export interface HandlerChainOptions {
  /** Answers before authentication (health, version), or undefined to let the request pass on. */
  readonly publicEndpoint: (context: RequestContext) => Promise<void> | undefined;
  readonly filters: readonly Filter[];
  /** The end of the chain. */
  readonly dispatch: RequestHandler;
  readonly observer: RequestObserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly newAuditId: () => string;
}

export interface HandlerChain {
  handle(request: ApiRequest, response: ApiResponse): Promise<void>;
  /** No request runs but those that may last for ever. */
  readonly isIdle: boolean;
  stop(): void;
}

/** Puts `filters` into the chain's order; throws when the set is not complete. */
export function orderFilters(filters: readonly Filter[]): readonly Filter[] {
  const byName = new Map(filters.map((filter) => [filter.name, filter]));
  if (byName.size !== filters.length) throw new Error('the request chain has two filters of one name');
  const ordered = FILTER_ORDER.map((name) => {
    const filter = byName.get(name);
    if (filter === undefined) throw new Error(`the request chain lacks its ${name} filter`);
    byName.delete(name);
    return filter;
  });
  if (byName.size > 0) throw new Error(`the request chain knows no place for ${[...byName.keys()].join(', ')}`);
  return ordered;
}

/**
 * Every request runs through here:
 *
 *   errors -> request info -> deadline -> public endpoints -> filters in FILTER_ORDER -> dispatch
 *
 * Whatever a link throws becomes a Status answer; a failure after the answer began can only break the connection off.
 */
export function createHandlerChain(options: HandlerChainOptions): HandlerChain {
  const run = compose(options.filters, options.dispatch);
  const deadlines = new RequestDeadlines(options.clock);
  return {
    handle: (request, response) => handleRequest({ options, run, deadlines }, request, response),
    get isIdle() {
      return deadlines.isIdle;
    },
    stop: () => deadlines.stop(),
  };
}

interface ChainParts {
  readonly options: HandlerChainOptions;
  readonly run: RequestHandler;
  readonly deadlines: RequestDeadlines;
}

function compose(filters: readonly Filter[], dispatch: RequestHandler): RequestHandler {
  return filters.reduceRight<RequestHandler>(
    (next, filter) => (context) => filter.run(context, () => next(context)),
    dispatch,
  );
}

async function handleRequest(parts: ChainParts, request: ApiRequest, target: ApiResponse): Promise<void> {
  const { options, run, deadlines } = parts;
  const startMs = options.clock.monotonic();
  const response = new ChainResponse(target);
  let context: RequestContext | undefined;
  let clearDeadline: (() => void) | undefined;
  let token: unknown;
  let isAborted = false;
  try {
    const info = computeRequestInfo(request.method, request.path, request.query);
    context = createContext(options, request, response, info);
    response.bind(context);
    token = options.observer.onStart(context);
    if (!isLongRunning(info)) {
      clearDeadline = deadlines.add(requestTimeoutMs(info), () => expire(response));
    }
    await (options.publicEndpoint(context) ?? run(context));
  } catch (err) {
    if (context === undefined) {
      context = createContext(options, request, response, computeRequestInfo(request.method, '/', ''));
      response.bind(context);
      token = options.observer.onStart(context);
    }
    // At a deadline the answer was given already.
    isAborted = response.started && context.statusCode !== 504;
    answerError(context, err);
  } finally {
    clearDeadline?.();
    if (context !== undefined) {
      const { statusCode } = context;
      const { sentBytes } = response;
      const elapsedMs = options.clock.monotonic() - startMs;
      options.observer.onEnd(token, { statusCode, elapsedMs, sentBytes, isAborted });
    }
  }
}

/** Who a request comes from until somebody is found who vouches for another. */
export const ANONYMOUS_USER: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

function createContext(
  options: HandlerChainOptions,
  request: ApiRequest,
  response: ApiResponse,
  info: RequestInfo,
): RequestContext {
  return {
    request,
    response,
    info,
    log: options.log,
    auditId: request.header('audit-id') ?? options.newAuditId(),
    receivedAtMs: options.clock.now(),
    user: ANONYMOUS_USER,
    impersonator: undefined,
    warnings: [],
    auditAnnotations: {},
    statusCode: 0,
  };
}

function answerError(context: RequestContext, err: unknown): void {
  const apiError = toApiError(err);
  if (apiError.code >= 500 && !(err instanceof ApiError)) {
    context.log.error('request failed', {
      method: context.request.method,
      path: context.request.path,
      auditId: context.auditId,
      err,
    });
  }
  if (context.response.started) {
    context.log.warn('request failed after its answer began', {
      path: context.request.path,
      auditId: context.auditId,
      reason: describeError(err),
    });
    return;
  }
  sendError(context.response, apiError, context.request.header('accept'));
}

/** The write may still happen: Kubernetes tells so with a 504 rather than letting the client believe that it failed. */
function expire(response: ApiResponse): void {
  if (response.started) return;
  sendError(response, new ApiError(504, 'Timeout', 'Timeout: request did not complete within the allotted timeout'));
}

/** Requests that may last as long as the client likes: watches, and streams of logs, terminals and proxies. */
export function isLongRunning(info: RequestInfo): boolean {
  return info.verb === 'watch' || LONG_RUNNING_SUBRESOURCES.has(info.subresource);
}

function requestTimeoutMs(info: RequestInfo): number {
  const asked = info.query.get('timeout');
  if (asked === null || asked === '') return REQUEST_TIMEOUT_MS;
  const ms = parseGoDuration(asked);
  if (ms === undefined)
    throw badRequest(`invalid timeout specified in the request URL - time: invalid duration "${asked}"`);
  return ms === 0 ? REQUEST_TIMEOUT_MS : Math.min(ms, REQUEST_TIMEOUT_MS);
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a Go duration such as `1m30s`; undefined when it is none or negative. */
export function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  return total;
}
