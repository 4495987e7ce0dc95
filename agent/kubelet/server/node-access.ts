import type { KubeClient } from '#api/client/client.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { NodeApiError } from './pod-lookups.ts';

/** Whoever the API server says is behind a certificate or a token. */
export interface NodeCaller {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface AccessQuestion {
  /** Of a certificate that the cluster's CA signed; undefined: there was none. */
  readonly certificate: { readonly commonName: string; readonly organizations: readonly string[] } | undefined;
  /** Of the Authorization header. */
  readonly bearerToken: string | undefined;
  readonly method: string;
  /** Without its query. */
  readonly path: string;
}

/** Who may call the node API besides the API server itself. */
export interface NodeAccess {
  /** Rejects with NodeApiError 401 or 403. */
  check(question: AccessQuestion): Promise<void>;
}

export interface NodeAccessOptions {
  /** As the node: it may create TokenReviews and SubjectAccessReviews. */
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Kubelet's own times. */
const TOKEN_TTL_MS = 120_000;
const ALLOWED_TTL_MS = 300_000;
const DENIED_TTL_MS = 30_000;
const MAX_CACHED = 1_000;

const review = (group: string, resource: string, kind: string) =>
  ({ group, version: 'v1', resource, kind, namespaced: false }) as const;
const TOKEN_REVIEWS = review('authentication.k8s.io', 'tokenreviews', 'TokenReview');
const ACCESS_REVIEWS = review('authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview');

/** What stands for a path in roles, as `nodes/<subresource>`; one right of several is enough, the narrow ones first. */
export function subresourcesOf(path: string): readonly string[] {
  const [head = ''] = path.split('/').filter(Boolean);
  switch (head) {
    case 'stats':
      return ['stats'];
    case 'metrics':
      return ['metrics'];
    case 'logs':
      return ['log'];
    case 'checkpoint':
      return ['checkpoint'];
    case 'healthz':
    case 'pods':
    case 'configz':
      return [head, 'proxy'];
    default:
      return ['proxy'];
  }
}

const VERBS: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

interface Remembered<T> {
  readonly value: T;
  readonly untilMs: number;
}

/** Asks the API server who comes and whether they may, and remembers the answers for a while. */
export function createNodeAccess({ client, nodeName, clock, log }: NodeAccessOptions): NodeAccess {
  const callers = new Map<string, Remembered<NodeCaller | undefined>>();
  const verdicts = new Map<string, Remembered<boolean>>();

  const remember = <T>(cache: Map<string, Remembered<T>>, key: string, value: T, ttlMs: number): T => {
    if (cache.size >= MAX_CACHED) cache.delete(cache.keys().next().value!);
    cache.set(key, { value, untilMs: clock.monotonic() + ttlMs });
    return value;
  };
  const recall = <T>(cache: Map<string, Remembered<T>>, key: string): Remembered<T> | undefined => {
    const known = cache.get(key);
    return known !== undefined && clock.monotonic() < known.untilMs ? known : undefined;
  };

  const callerOf = async (token: string): Promise<NodeCaller | undefined> => {
    const known = recall(callers, token);
    if (known !== undefined) return known.value;
    const answer = await client.resource<never>(TOKEN_REVIEWS).create({ metadata: {}, spec: { token } } as never);
    const caller = userOf((answer as { status?: TokenStatus }).status);
    // A token that does not hold now may in a moment: nothing is remembered of it.
    return caller === undefined ? undefined : remember(callers, token, caller, TOKEN_TTL_MS);
  };

  const may = async (caller: NodeCaller, verb: string, subresource: string): Promise<boolean> => {
    const resourceAttributes = { verb, version: 'v1', resource: 'nodes', subresource, name: nodeName };
    const { name: user, ...who } = caller;
    const spec = { user, ...who, resourceAttributes };
    const key = JSON.stringify(spec);
    const known = recall(verdicts, key);
    if (known !== undefined) return known.value;
    const answer = await client.resource<never>(ACCESS_REVIEWS).create({ metadata: {}, spec } as never);
    const allowed = (answer as { status?: { allowed?: boolean } }).status?.allowed === true;
    return remember(verdicts, key, allowed, allowed ? ALLOWED_TTL_MS : DENIED_TTL_MS);
  };

  const ask = async ({ certificate, bearerToken, method, path }: AccessQuestion): Promise<void> => {
    const caller =
      certificate !== undefined && certificate.commonName !== ''
        ? { name: certificate.commonName, groups: [...certificate.organizations, 'system:authenticated'] }
        : bearerToken === undefined
          ? undefined
          : await callerOf(bearerToken);
    if (caller === undefined) throw new NodeApiError(401, 'Unauthorized');
    const verb = VERBS[method] ?? 'get';
    const subresources = subresourcesOf(path);
    for (const subresource of subresources) if (await may(caller, verb, subresource)) return;
    const denied = subresources.map((subresource) => `nodes/${subresource}`).join(', ');
    throw new NodeApiError(
      403,
      `Forbidden (user=${caller.name}, verb=${verb}, resource=nodes, subresource(s)=[${denied}])`,
    );
  };

  return {
    async check(question) {
      try {
        await ask(question);
      } catch (err) {
        if (err instanceof NodeApiError) throw err;
        // Nobody is let in because nobody could be asked.
        log.warn('the API server could not be asked who may call', { err: describeError(err) });
        throw new NodeApiError(503, 'the API server could not be asked', { cause: err });
      }
    },
  };
}

interface TokenStatus {
  readonly authenticated?: boolean;
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

function userOf(status: TokenStatus | undefined): NodeCaller | undefined {
  if (status?.authenticated !== true || !status.user?.username) return undefined;
  const { username, uid, groups = [], extra } = status.user;
  return { name: username, groups, ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra }) };
}
