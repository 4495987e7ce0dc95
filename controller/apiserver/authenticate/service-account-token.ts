import { unauthorized } from '#api/object/api-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { ObjectMeta } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { ServiceAccountKey } from '../../pki/cluster-pki.ts';
import type { Snapshot, Store } from '../../store/store.ts';
import type { UserInfo } from '../chain/request-context.ts';
import type { PromptTokenVerifier, VerifiedToken } from './bearer-token.ts';
import { readUnverifiedClaims, verifyJsonWebToken } from './json-web-token.ts';
import { serviceAccountGroups, serviceAccountUserName } from './service-account-user.ts';
import { type KubernetesClaims, SERVICE_ACCOUNT_ISSUER } from './token-issuer.ts';

/** Tokens (of about 1 KB each) are forgotten in insertion order beyond this many: a pod uses one at a time. */
const MAX_CACHED_TOKENS = 10_000;
/** Kubernetes lets tokens of an object that is being deleted live on for a moment, so that pods can end in order. */
const DELETION_LEEWAY_MS = 60_000;

interface Claims {
  readonly audiences: readonly string[];
  readonly expiresAtMs: number;
  readonly tokenId: string | undefined;
  readonly kubernetes: KubernetesClaims;
}

interface CachedToken {
  readonly claims: Claims;
  readonly user: UserInfo;
  /** The answer to who asks for the API server's own audiences; undefined: the token is for others. */
  readonly own: VerifiedToken | undefined;
  /** Store revision at which the objects behind the token were last seen to exist; re-checked only when the store has moved on. */
  checkedRevision: number;
  /** When an object behind it is being deleted, the moment its leeway ends; Infinity otherwise. */
  leewayEndsMs: number;
}

export interface ServiceAccountTokenOptions {
  readonly store: Store;
  readonly key: Pick<ServiceAccountKey, 'publicKey' | 'keyId'>;
  readonly clock: Clock;
  readonly issuer?: string;
  /** Audiences of the API server. */
  readonly audiences?: readonly string[];
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

function referenceOf(value: unknown): { name: string; uid: string } | undefined {
  if (!isJsonObject(value)) return undefined;
  const name = text(value.name);
  return name === undefined ? undefined : { name, uid: text(value.uid) ?? '' };
}

/** Undefined when a claim that every token of ours carries is missing. */
function parseServiceAccountClaims(claims: JsonObject): Claims | undefined {
  const kubernetes = claims['kubernetes.io'];
  if (!isJsonObject(kubernetes) || typeof claims.exp !== 'number' || !Array.isArray(claims.aud)) return undefined;
  const namespace = text(kubernetes.namespace);
  const serviceaccount = referenceOf(kubernetes.serviceaccount);
  if (namespace === undefined || serviceaccount === undefined) return undefined;
  if (claims.sub !== serviceAccountUserName(namespace, serviceaccount.name)) return undefined;
  const pod = referenceOf(kubernetes.pod);
  const secret = referenceOf(kubernetes.secret);
  const node = referenceOf(kubernetes.node);
  return {
    audiences: claims.aud.filter((audience): audience is string => typeof audience === 'string'),
    expiresAtMs: claims.exp * 1000,
    tokenId: text(claims.jti),
    kubernetes: {
      namespace,
      serviceaccount,
      ...(pod === undefined ? {} : { pod }),
      ...(secret === undefined ? {} : { secret }),
      ...(node === undefined ? {} : { node }),
    },
  };
}

function userOf({ kubernetes, tokenId }: Claims): UserInfo {
  const { namespace, serviceaccount, pod, node } = kubernetes;
  const extra: Record<string, readonly string[]> = {};
  if (tokenId !== undefined) extra['authentication.kubernetes.io/credential-id'] = [`JTI=${tokenId}`];
  if (node !== undefined) {
    extra['authentication.kubernetes.io/node-name'] = [node.name];
    if (node.uid) extra['authentication.kubernetes.io/node-uid'] = [node.uid];
  }
  if (pod !== undefined) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name];
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid];
  }
  return {
    name: serviceAccountUserName(namespace, serviceaccount.name),
    uid: serviceaccount.uid,
    groups: [...serviceAccountGroups(namespace), 'system:authenticated'],
    extra,
  };
}

/** Objects that must still exist with their uid for the token to hold. A pod's node is only told, not checked, as in Kubernetes. */
function requiredObjects({ namespace, serviceaccount, pod, secret, node }: KubernetesClaims) {
  return [
    { key: `/registry/serviceaccounts/${namespace}/${serviceaccount.name}`, uid: serviceaccount.uid },
    ...(pod === undefined ? [] : [{ key: `/registry/pods/${namespace}/${pod.name}`, uid: pod.uid }]),
    ...(secret === undefined ? [] : [{ key: `/registry/secrets/${namespace}/${secret.name}`, uid: secret.uid }]),
    ...(node === undefined || pod !== undefined ? [] : [{ key: `/registry/minions/${node.name}`, uid: node.uid }]),
  ];
}

/** Undefined where the token is good for none of the audiences. */
function verifiedFor(user: UserInfo, claims: Claims, audiences: readonly string[]): VerifiedToken | undefined {
  const common = audiences.filter((audience) => claims.audiences.includes(audience));
  return common.length === 0 ? undefined : { user, audiences: common };
}

/** When the token stops holding because of its objects: -Infinity = already (gone, or another uid), Infinity = not foreseeable. */
function objectsHoldUntilMs(snapshot: Snapshot, claims: KubernetesClaims): number {
  let untilMs = Number.POSITIVE_INFINITY;
  for (const { key, uid } of requiredObjects(claims)) {
    const metadata = (snapshot.get(key)?.object() as { metadata: ObjectMeta } | undefined)?.metadata;
    if (metadata === undefined || metadata.uid !== uid) return Number.NEGATIVE_INFINITY;
    if (metadata.deletionTimestamp !== undefined) {
      untilMs = Math.min(untilMs, Date.parse(metadata.deletionTimestamp) + DELETION_LEEWAY_MS);
    }
  }
  return untilMs;
}

/**
 * Verifies tokens of createTokenIssuer. The signature is checked once per token; the objects behind it are looked at again whenever
 * the store has changed, so that deleting a pod or ServiceAccount ends its tokens at once; expiry is checked on every request.
 */
export function createServiceAccountTokenVerifier(options: ServiceAccountTokenOptions): PromptTokenVerifier {
  const { store, key, clock, issuer = SERVICE_ACCOUNT_ISSUER, audiences: ownAudiences = [issuer] } = options;
  // By the token itself: a digest would cost more than all the rest of the check, and who can read this memory can read the key as well.
  const cache = new Map<string, CachedToken>();

  const verifySignature = (token: string): CachedToken => {
    const verified = verifyJsonWebToken(token, key);
    const claims = verified === undefined ? undefined : parseServiceAccountClaims(verified);
    if (claims === undefined) throw unauthorized();
    const user = userOf(claims);
    const own = verifiedFor(user, claims, ownAudiences);
    return { claims, user, own, checkedRevision: -1, leewayEndsMs: Number.NEGATIVE_INFINITY };
  };

  const checkStillHolds = (cached: CachedToken): void => {
    const nowMs = clock.now();
    // `nbf` is when we signed it: where that is still to come, it is our clock that was set back, and not the token that is wrong.
    if (nowMs >= cached.claims.expiresAtMs) throw unauthorized();
    const { revision } = store;
    if (revision !== cached.checkedRevision) {
      cached.leewayEndsMs = objectsHoldUntilMs(store.snapshot(), cached.claims.kubernetes);
      cached.checkedRevision = revision;
    }
    if (nowMs >= cached.leewayEndsMs) throw unauthorized();
  };

  return {
    name: 'service-account-token',
    verify(token, audiences = ownAudiences): VerifiedToken | undefined {
      let cached = cache.get(token);
      if (cached === undefined) {
        if (readUnverifiedClaims(token)?.iss !== issuer) return undefined;
        cached = verifySignature(token);
        checkStillHolds(cached);
        if (cache.size >= MAX_CACHED_TOKENS) cache.delete(cache.keys().next().value!);
        cache.set(token, cached);
      } else {
        checkStillHolds(cached);
      }
      const { user, claims, own } = cached;
      const verified = audiences === ownAudiences ? own : verifiedFor(user, claims, audiences);
      if (verified === undefined) throw unauthorized();
      return verified;
    },
  };
}
