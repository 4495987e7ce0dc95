import { hash, timingSafeEqual } from 'node:crypto';
import { unauthorized } from '#api/object/api-error.ts';
import type { Secret, ServiceAccount } from '#api/object/kinds.ts';
import type { ServiceAccountKey } from '../../pki/cluster-pki.ts';
import type { Store } from '../../store/store.ts';
import type { PromptTokenVerifier } from './bearer-token.ts';
import { readUnverifiedClaims, signJsonWebToken, verifyJsonWebToken } from './json-web-token.ts';
import { serviceAccountGroups, serviceAccountUserName } from './service-account-user.ts';

/** `iss` of tokens that live in Secrets. */
const LEGACY_ISSUER = 'kubernetes/serviceaccount';
const CLAIM = 'kubernetes.io/serviceaccount';
/** An administrator, or the cleaner of tokens that nobody used, puts it on: the token no longer holds. */
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since';

export const LEGACY_TOKEN_TYPE = 'kubernetes.io/service-account-token';

/** A token for an account that a Secret was made for by hand: it never expires, and holds for as long as the Secret does. */
export function mintLegacyToken(
  account: ServiceAccount,
  secretName: string,
  key: Pick<ServiceAccountKey, 'privateKey' | 'keyId'>,
): string {
  const { name, namespace = '', uid } = account.metadata;
  const claims = {
    iss: LEGACY_ISSUER,
    [`${CLAIM}/namespace`]: namespace,
    [`${CLAIM}/secret.name`]: secretName,
    [`${CLAIM}/service-account.name`]: name,
    [`${CLAIM}/service-account.uid`]: uid,
    sub: serviceAccountUserName(namespace, name),
  };
  return signJsonWebToken(claims, key);
}

const isSame = (a: string, b: string): boolean =>
  timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));

export interface LegacyTokenOptions {
  readonly store: Pick<Store, 'snapshot'>;
  readonly key: Pick<ServiceAccountKey, 'publicKey' | 'keyId'>;
  /** Audiences of the API server, which these tokens are always meant for. */
  readonly audiences: readonly string[];
}

/** Tokens of mintLegacyToken: signed by us, and still the content of their Secret, whose account still exists. */
export function createLegacyTokenVerifier({ store, key, audiences: own }: LegacyTokenOptions): PromptTokenVerifier {
  return {
    name: 'legacy-service-account-token',
    verify(token, audiences = own) {
      if (readUnverifiedClaims(token)?.iss !== LEGACY_ISSUER) return undefined;
      const claims = verifyJsonWebToken(token, key) ?? {};
      const text = (name: string): string => {
        const value = claims[`${CLAIM}/${name}`];
        return typeof value === 'string' && value !== '' ? value : refuse();
      };
      const [namespace, name, uid] = [text('namespace'), text('service-account.name'), text('service-account.uid')];
      const snapshot = store.snapshot();
      const secret = snapshot.get(`/registry/secrets/${namespace}/${text('secret.name')}`)?.object() as
        | Secret
        | undefined;
      const account = snapshot.get(`/registry/serviceaccounts/${namespace}/${name}`)?.object() as
        | ServiceAccount
        | undefined;
      if (account?.metadata.uid !== uid || account.metadata.deletionTimestamp !== undefined) refuse();
      if (secret === undefined || !isHeldBy(secret, token)) refuse();
      const common = audiences.filter((audience) => own.includes(audience));
      if (common.length === 0) refuse();
      const groups = [...serviceAccountGroups(namespace), 'system:authenticated'];
      return { user: { name: serviceAccountUserName(namespace, name), uid, groups }, audiences: common };
    },
  };
}

function isHeldBy({ metadata, data }: Secret, token: string): boolean {
  if (metadata.deletionTimestamp !== undefined || metadata.labels?.[INVALID_SINCE] !== undefined) return false;
  return isSame(Buffer.from(data?.token ?? '', 'base64').toString(), token);
}

function refuse(): never {
  throw unauthorized();
}
