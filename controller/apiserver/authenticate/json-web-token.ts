import { type KeyObject, sign, verify } from 'node:crypto';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Compact JWS with ES256 (RFC 7515, 7518): the signature is the raw r||s pair. */
export function signJsonWebToken(
  claims: object,
  key: { readonly privateKey: KeyObject; readonly keyId: string },
): string {
  const signed = `${encode({ alg: 'ES256', kid: key.keyId })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

function parsePart(part: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return isJsonObject(value) ? value : undefined;
  } catch {
    // Not JSON: then it is no token of ours, which is all the caller asks.
    return undefined;
  }
}

/** The claims without any proof: only for choosing the verifier. */
export function readUnverifiedClaims(token: string): JsonObject | undefined {
  const parts = token.split('.');
  return parts.length === 3 ? parsePart(parts[1]!) : undefined;
}

/** The claims when the signature holds under this very key and algorithm; undefined otherwise. */
export function verifyJsonWebToken(
  token: string,
  key: { readonly publicKey: KeyObject; readonly keyId: string },
): JsonObject | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  const [head, body, signature] = parts as [string, string, string];
  const header = parsePart(head);
  if (header?.alg !== 'ES256' || header.kid !== key.keyId) return undefined;
  const holds = verify(
    'sha256',
    Buffer.from(`${head}.${body}`),
    { key: key.publicKey, dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'),
  );
  return holds ? parsePart(body) : undefined;
}
