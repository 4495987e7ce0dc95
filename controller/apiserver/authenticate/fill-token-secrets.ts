import type { KubeClient } from '#api/client/client.ts';
import { createWorkQueue } from '#api/client/work-queue.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import { resources, type Secret, type ServiceAccount } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { ServiceAccountKey } from '../../pki/cluster-pki.ts';
import type { Store, StoredObject } from '../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../authorize/store-mirror.ts';
import { LEGACY_TOKEN_TYPE, mintLegacyToken } from './legacy-token.ts';

const SECRETS = '/registry/secrets/';
const ACCOUNTS = '/registry/serviceaccounts/';
const ACCOUNT_NAME = 'kubernetes.io/service-account.name';
const ACCOUNT_UID = 'kubernetes.io/service-account.uid';

export interface TokenSecretsDeps {
  readonly store: Store;
  readonly client: KubeClient;
  readonly key: ServiceAccountKey;
  /** PEM, as it is now. */
  readonly ca: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

/** What such a Secret should hold; undefined when it does. Pure but for the token, which is made where there is none. */
export function planTokenSecret(
  secret: Secret,
  account: ServiceAccount,
  { key, ca }: { readonly key: ServiceAccountKey; readonly ca: string },
): Secret | undefined {
  const { name, namespace = '' } = secret.metadata;
  const { data = {} } = secret;
  const encode = (text: string) => Buffer.from(text).toString('base64');
  const wanted = { 'ca.crt': encode(ca), namespace: data.namespace ?? encode(namespace) };
  const isFull = data.token !== undefined && data['ca.crt'] === wanted['ca.crt'] && data.namespace !== undefined;
  if (isFull && secret.metadata.annotations?.[ACCOUNT_UID] === account.metadata.uid) return undefined;
  const token = data.token ?? encode(mintLegacyToken(account, name, key));
  const annotations = { ...secret.metadata.annotations, [ACCOUNT_UID]: account.metadata.uid };
  return { ...secret, metadata: { ...secret.metadata, annotations }, data: { ...data, ...wanted, token } };
}

/**
 * The token controller: fills Secrets of type service-account-token, and removes them with their account. It works beside the store because
 * the key that signs is the API server's alone. The returned function stops it.
 */
export function startTokenSecrets(deps: TokenSecretsDeps): () => void {
  const { store, client, key, ca, clock, log, random } = deps;
  const secrets = client.resource<Secret>(resources.secrets);
  const sync = async (storeKey: string): Promise<void> => {
    const secret = store.snapshot().get(storeKey)?.object() as Secret | undefined;
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return;
    const { name, namespace = '', uid, annotations } = secret.metadata;
    const found = store.snapshot().get(`${ACCOUNTS}${namespace}/${annotations?.[ACCOUNT_NAME]}`)?.object();
    const account = found as ServiceAccount | undefined;
    const forUid = annotations?.[ACCOUNT_UID];
    const isOrphan = account === undefined || (forUid !== undefined && forUid !== account.metadata.uid);
    try {
      if (isOrphan) await secrets.delete({ name, namespace, preconditions: { uid } });
      else {
        const filled = planTokenSecret(secret, account, { key, ca: ca() });
        if (filled !== undefined) await secrets.update(filled);
      }
    } catch (err) {
      // Another change, or another API server that did the same: it shows up again.
      if (!isConflict(err) && !isNotFound(err)) throw err;
    }
  };
  const queue = createWorkQueue<string>({ name: 'token-secrets', sync, clock, log, random });
  const enqueue = ({ key: storeKey, fields }: StoredObject) => {
    if (fields.type === LEGACY_TOKEN_TYPE) queue.add(storeKey);
  };
  const stopSecrets = mirrorPrefix(store, SECRETS, {
    onPut: enqueue,
    onDelete: () => undefined,
    onReset: () => undefined,
  });
  const stopAccounts = mirrorPrefix(store, ACCOUNTS, {
    onPut: () => undefined,
    onDelete: ({ key: accountKey }) => {
      const { namespace } = namesOfKey(accountKey, ACCOUNTS);
      for (const stored of store.snapshot().range(`${SECRETS}${namespace}/`)) enqueue(stored);
    },
    onReset: () => undefined,
  });
  const abort = new AbortController();
  queue.start(abort.signal);
  return () => {
    abort.abort();
    stopSecrets();
    stopAccounts();
  };
}
