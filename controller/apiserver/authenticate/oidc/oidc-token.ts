import { errors, jwtVerify } from 'jose';
import { unauthorized } from '#api/object/api-error.ts';
import type { JsonObject } from '#api/object/json.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { TokenVerifier, VerifiedToken } from '../bearer-token.ts';
import { readUnverifiedClaims } from '../json-web-token.ts';
import type { JwtIssuer } from './authentication-configuration.ts';
import { ClaimsRefused, userOfClaims } from './claims-to-user.ts';
import { type FetchJson, IssuerKeys } from './issuer-keys.ts';

/** Asymmetric ones alone: with a shared secret every client could make tokens. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];
/** A verdict stands for so long, as in Kubernetes; a token's own end comes first. */
const CACHE_MS = 10_000;
const MAX_CACHED_TOKENS = 2_000;

export interface OidcOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetchJson: FetchJson;
}

interface Known {
  readonly issuer: JwtIssuer;
  readonly keys: IssuerKeys;
}

interface CachedUser {
  readonly verified: VerifiedToken;
  readonly untilMs: number;
}

export interface OidcVerifier extends TokenVerifier {
  /** Takes the place of all issuers. */
  configure(issuers: readonly JwtIssuer[]): void;
}

/** Tokens of other issuers (OpenID Connect): whose keys are where their discovery document says, and whose claims make the user. */
export function createOidcVerifier(options: OidcOptions): OidcVerifier {
  const { clock, log } = options;
  let known = new Map<string, Known>();
  const cache = new Map<string, CachedUser>();

  const verifySigned = async (token: string, { issuer, keys }: Known): Promise<CachedUser> => {
    const { payload } = await jwtVerify(token, await keys.keys(), {
      issuer: issuer.url,
      audience: [...issuer.audiences],
      algorithms: ALGORITHMS,
      currentDate: new Date(clock.now()),
      requiredClaims: ['exp'],
    });
    const user = userOfClaims(issuer, payload as JsonObject);
    const nowMs = clock.now();
    return { verified: { user, audiences: [] }, untilMs: Math.min(nowMs + CACHE_MS, (payload.exp ?? 0) * 1000) };
  };

  const verify = async (token: string, from: Known): Promise<VerifiedToken> => {
    try {
      const found = await verifySigned(token, from);
      if (cache.size >= MAX_CACHED_TOKENS) cache.delete(cache.keys().next().value!);
      cache.set(token, found);
      return found.verified;
    } catch (err) {
      // Never the token, nor its claims.
      const why = err instanceof errors.JOSEError ? err.code : describeError(err);
      const level = err instanceof ClaimsRefused || err instanceof errors.JOSEError ? 'debug' : 'warn';
      log[level]('a token was refused', { issuer: from.issuer.url, why });
      throw unauthorized();
    }
  };

  return {
    name: 'oidc-token',
    configure(issuers) {
      cache.clear();
      const keep = ({ issuer: { url, discoveryUrl, certificateAuthority } }: Known) =>
        JSON.stringify([url, discoveryUrl, certificateAuthority]);
      const before = new Map([...known.values()].map((one) => [keep(one), one.keys]));
      known = new Map(
        issuers.map((issuer) => {
          const fresh = { issuer, keys: new IssuerKeys(issuer, options) };
          return [issuer.url, { issuer, keys: before.get(keep(fresh)) ?? fresh.keys }];
        }),
      );
    },
    verify(token, audiences) {
      if (known.size === 0) return undefined;
      const { iss } = readUnverifiedClaims(token) ?? {};
      const from = typeof iss === 'string' ? known.get(iss) : undefined;
      if (from === undefined) return undefined;
      // These tokens are for the API server: whoever asks on behalf of another audience gets no.
      if (audiences !== undefined) return rejectForeign();
      const cached = cache.get(token);
      if (cached !== undefined && clock.now() < cached.untilMs) return cached.verified;
      cache.delete(token);
      return verify(token, from);
    },
  };
}

function rejectForeign(): never {
  throw unauthorized();
}
