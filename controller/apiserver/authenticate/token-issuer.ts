import { randomUUID } from 'node:crypto';
import { type ApiError, badRequest } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import type { ServiceAccountKey } from '../../pki/cluster-pki.ts';
import type { TokenIssuer, TokenRequestClaims } from '../registry/resource-definition.ts';
import { signJsonWebToken } from './json-web-token.ts';
import { serviceAccountUserName } from './service-account-user.ts';

/** `iss` of our ServiceAccount tokens, and their default audience. */
export const SERVICE_ACCOUNT_ISSUER = 'https://kubernetes.default.svc.cluster.local';

const MIN_EXPIRATION_SECONDS = 600;
/** Kubernetes' own upper limit. */
const MAX_EXPIRATION_SECONDS = 2 ** 32;

export interface TokenIssuerOptions {
  readonly key: ServiceAccountKey;
  readonly clock: Clock;
  readonly issuer?: string;
  readonly audiences?: readonly string[];
}

/** `kubernetes.io` claims of a token; the names are Kubernetes' own. */
export interface KubernetesClaims {
  readonly namespace: string;
  readonly serviceaccount: { readonly name: string; readonly uid: string };
  readonly pod?: { readonly name: string; readonly uid: string };
  readonly secret?: { readonly name: string; readonly uid: string };
  readonly node?: { readonly name: string; readonly uid?: string };
}

function refusedDuration(expirationSeconds: number): ApiError | undefined {
  if (expirationSeconds < MIN_EXPIRATION_SECONDS) {
    return badRequest('may not specify a duration less than 10 minutes');
  }
  return expirationSeconds > MAX_EXPIRATION_SECONDS
    ? badRequest('may not specify a duration larger than 2^32 seconds')
    : undefined;
}

function boundClaims(bound: TokenRequestClaims['boundObject']): Partial<KubernetesClaims> {
  if (bound === undefined) return {};
  const reference = { name: bound.name, uid: bound.uid };
  switch (bound.kind) {
    case 'Pod':
      return {
        ...(bound.nodeName === undefined
          ? {}
          : { node: { name: bound.nodeName, ...(bound.nodeUid === undefined ? {} : { uid: bound.nodeUid }) } }),
        pod: reference,
      };
    case 'Secret':
      return { secret: reference };
    case 'Node':
      return { node: reference };
    default:
      throw badRequest(`cannot bind token for serviceaccount to kind ${bound.kind}: only Pod, Secret and Node`);
  }
}

/** Mints ServiceAccount tokens as Kubernetes does; 400 for durations out of range and for kinds that a token cannot be bound to. */
export function createTokenIssuer(options: TokenIssuerOptions): TokenIssuer {
  const { key, clock, issuer = SERVICE_ACCOUNT_ISSUER, audiences = [issuer] } = options;
  return {
    async issue(request) {
      const refused = refusedDuration(request.expirationSeconds);
      if (refused !== undefined) throw refused;
      const issuedAt = Math.floor(clock.now() / 1000);
      const expiresAt = issuedAt + request.expirationSeconds;
      const { namespace, serviceAccount } = request;
      const kubernetes: KubernetesClaims = {
        namespace,
        ...boundClaims(request.boundObject),
        serviceaccount: { name: serviceAccount.name, uid: serviceAccount.uid },
      };
      const granted = request.audiences.length > 0 ? request.audiences : audiences;
      const claims = {
        aud: granted,
        exp: expiresAt,
        iat: issuedAt,
        iss: issuer,
        jti: randomUUID(),
        'kubernetes.io': kubernetes,
        nbf: issuedAt,
        sub: serviceAccountUserName(namespace, serviceAccount.name),
      };
      return { token: signJsonWebToken(claims, key), expirationTimestampMs: expiresAt * 1000, audiences: granted };
    },
  };
}

/** Body of `/openid/v1/jwks`. */
export function renderJsonWebKeySet(key: Pick<ServiceAccountKey, 'publicKey' | 'keyId'>): string {
  const { kty, crv, x, y } = key.publicKey.export({ format: 'jwk' });
  return JSON.stringify({ keys: [{ use: 'sig', kty, kid: key.keyId, crv, alg: 'ES256', x, y }] });
}

/** Body of `/.well-known/openid-configuration`. */
export function renderOpenIdConfiguration(issuer: string, jwksUri: string): string {
  return JSON.stringify({
    issuer,
    jwks_uri: jwksUri,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  });
}
