import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import type { ApiRequest } from '../server/api-request.ts';

/** Headers in which a front proxy names the user that it speaks for; kube-apiserver's flags have the same by kubeadm's choice. */
export const REMOTE_USER = 'x-remote-user';
export const REMOTE_UID = 'x-remote-uid';
export const REMOTE_GROUP = 'x-remote-group';
export const REMOTE_EXTRA_PREFIX = 'x-remote-extra-';

/** True for headers that only front proxies may set. */
export const isRemoteUserHeader = (name: string): boolean =>
  name === REMOTE_USER || name === REMOTE_UID || name === REMOTE_GROUP || name.startsWith(REMOTE_EXTRA_PREFIX);

/** Node joins repeated headers with a comma. */
const valuesOf = (header: string | undefined): string[] =>
  header === undefined || header === '' ? [] : header.split(',').map((value) => value.trim());

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
  const extra: Record<string, readonly string[]> = {};
  for (const header of request.headerNames?.() ?? []) {
    if (!header.startsWith(REMOTE_EXTRA_PREFIX)) continue;
    extra[decodeKey(header.slice(REMOTE_EXTRA_PREFIX.length))] = valuesOf(request.header(header));
  }
  const groups = valuesOf(request.header(REMOTE_GROUP));
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
