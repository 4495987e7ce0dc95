import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import type { ApiRequest } from '../server/api-request.ts';
import { headersBelow, headerValues } from '../server/header-values.ts';

/** Headers in which a front proxy names the user that it speaks for; kube-apiserver's flags have the same by kubeadm's choice. */
export const REMOTE_USER = 'x-remote-user';
export const REMOTE_UID = 'x-remote-uid';
export const REMOTE_GROUP = 'x-remote-group';
export const REMOTE_EXTRA_PREFIX = 'x-remote-extra-';

/** True for headers that only front proxies may set. */
export const isRemoteUserHeader = (name: string): boolean =>
  name === REMOTE_USER || name === REMOTE_UID || name === REMOTE_GROUP || name.startsWith(REMOTE_EXTRA_PREFIX);

/** Believes the X-Remote-* headers of a connection whose certificate the front-proxy CA gave to one of `allowedNames`. */
export function createRequestHeaderAuthenticator(allowedNames: readonly string[]): Authenticator {
  return {
    name: 'request-header',
    authenticate(request) {
      const { frontProxy } = request.peer;
      if (frontProxy === undefined || !allowedNames.includes(frontProxy.commonName)) return undefined;
      const name = request.header(REMOTE_USER) ?? '';
      return name === '' ? undefined : remoteUser(request, name);
    },
  };
}

function remoteUser(request: ApiRequest, name: string): UserInfo {
  const uid = request.header(REMOTE_UID);
  const remoteExtra = [...headersBelow(request, REMOTE_EXTRA_PREFIX)];
  const extra = Object.fromEntries(remoteExtra.map(([key, values]) => [decodeKey(key), values]));
  const groups = headerValues(request, REMOTE_GROUP).filter((group) => group !== '');
  const isKnown = groups.includes('system:authenticated') || name === 'system:anonymous';
  return {
    name,
    groups: isKnown ? groups : [...groups, 'system:authenticated'],
    ...(uid ? { uid } : {}),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** Header names know few characters, so keys are percent-encoded; one that cannot be decoded is taken as it is. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
