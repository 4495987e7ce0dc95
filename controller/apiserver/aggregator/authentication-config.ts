import type { KubeClient } from '#api/client/client.ts';
import { isAlreadyExists, isNotFound } from '#api/object/api-error.ts';
import type { ConfigMap } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';

export interface AuthenticationFacts {
  /** PEM of the CA that signs client certificates. */
  readonly clientCa: string;
  /** PEM of the CA that vouches for front proxies. */
  readonly frontProxyCa: string;
  /** Common names that a front proxy's certificate may have. */
  readonly allowedNames: readonly string[];
}

const NAMESPACE = 'kube-system';
/** Where servers of aggregated APIs look how to tell who speaks to them. */
const NAME = 'extension-apiserver-authentication';

function authenticationData({ clientCa, frontProxyCa, allowedNames }: AuthenticationFacts) {
  return {
    'client-ca-file': clientCa,
    'requestheader-allowed-names': JSON.stringify(allowedNames),
    'requestheader-client-ca-file': frontProxyCa,
    'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
    'requestheader-group-headers': '["X-Remote-Group"]',
    'requestheader-uid-headers': '["X-Remote-Uid"]',
    'requestheader-username-headers': '["X-Remote-User"]',
  };
}

/** Writes ConfigMap kube-system/extension-apiserver-authentication unless it says all of this already. */
export async function ensureAuthenticationConfig(client: KubeClient, facts: AuthenticationFacts): Promise<void> {
  const configMaps = client.resource<ConfigMap>(resources.configMaps);
  const data = authenticationData(facts);
  const found = await configMaps.fetch(NAME, NAMESPACE).catch((err: unknown) => {
    if (isNotFound(err)) return undefined;
    throw err;
  });
  if (found === undefined) {
    await configMaps.create({ metadata: { name: NAME, namespace: NAMESPACE }, data }).catch((err: unknown) => {
      if (!isAlreadyExists(err)) throw err;
    });
    return;
  }
  const isSame = Object.entries(data).every(([key, value]) => found.data?.[key] === value);
  if (!isSame) await configMaps.update({ ...found, data: { ...found.data, ...data } });
}
