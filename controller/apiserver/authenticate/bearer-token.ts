import { unauthorized } from '#api/object/api-error.ts';
import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import type { ApiRequest } from '../server/api-request.ts';

export interface VerifiedToken {
  readonly user: UserInfo;
  /** Which of the asked audiences the token is good for. */
  readonly audiences: readonly string[];
}

/** One kind of bearer token. */
export interface TokenVerifier {
  readonly name: string;
  /**
   * The user behind the token, undefined when it is not this verifier's kind; throws 401 when it is but does not hold. Undefined
   * audiences = those of the API server itself.
   */
  verify(token: string, audiences?: readonly string[]): VerifiedToken | undefined | Promise<VerifiedToken | undefined>;
}

/** A verifier that asks nobody outside of this process. */
export interface PromptTokenVerifier extends TokenVerifier {
  verify(token: string, audiences?: readonly string[]): VerifiedToken | undefined;
}

const WEBSOCKET_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';

/** The token of the Authorization header, or, as browsers cannot set one on WebSockets, of the protocol list; undefined without. */
function bearerTokenOf(request: ApiRequest): string | undefined {
  const header = request.header('authorization');
  if (header !== undefined) {
    return header.length > 7 && header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7).trim() : undefined;
  }
  const offered = request.header('sec-websocket-protocol');
  const encoded = offered
    ?.split(',')
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith(WEBSOCKET_PROTOCOL));
  return encoded === undefined
    ? undefined
    : Buffer.from(encoded.slice(WEBSOCKET_PROTOCOL.length), 'base64url').toString();
}

/**
 * Asks each verifier in turn: what the first says that knows the token. Answers at once unless one has to ask somebody. Throws or rejects
 * with 401 where it knows that the token does not hold.
 */
export function verifyToken(
  verifiers: readonly TokenVerifier[],
  token: string,
  audiences?: readonly string[],
): VerifiedToken | undefined | Promise<VerifiedToken | undefined> {
  const ask = (from: number): VerifiedToken | undefined | Promise<VerifiedToken | undefined> => {
    for (let i = from; i < verifiers.length; i++) {
      const verified = verifiers[i]!.verify(token, audiences);
      if (verified instanceof Promise) return verified.then((found) => found ?? ask(i + 1));
      if (verified !== undefined) return verified;
    }
    return undefined;
  };
  return ask(0);
}

function userOf(verified: VerifiedToken | undefined): UserInfo {
  if (verified === undefined) throw unauthorized();
  return verified.user;
}

/** Asks each verifier in turn; a bearer token that nobody knows is 401, never anonymous. */
export function createBearerTokenAuthenticator(verifiers: readonly TokenVerifier[]): Authenticator {
  return {
    name: 'bearer-token',
    authenticate(request) {
      const token = bearerTokenOf(request);
      if (token === undefined || token === '') return undefined;
      const verified = verifyToken(verifiers, token);
      return verified instanceof Promise ? verified.then(userOf) : userOf(verified);
    },
  };
}
