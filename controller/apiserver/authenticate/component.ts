import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import { parseServiceAccountUserName, serviceAccountGroups } from './service-account-user.ts';

/** The API server's own loopback identity: it alone bypasses authorization. */
export const APISERVER_USER = 'system:apiserver';

function componentUser(name: string): UserInfo {
  const account = parseServiceAccountUserName(name);
  const groups =
    name === APISERVER_USER ? ['system:masters'] : account === undefined ? [] : serviceAccountGroups(account.namespace);
  return { name, groups: [...groups, 'system:authenticated'] };
}

/** Components of this process: the composition root bound the name to the port, so it needs no further proof. */
export function createComponentAuthenticator(): Authenticator {
  const users = new Map<string, UserInfo>();
  return {
    name: 'component',
    authenticate({ peer: { component } }) {
      if (component === undefined) return undefined;
      let user = users.get(component);
      if (user === undefined) {
        user = componentUser(component);
        users.set(component, user);
      }
      return user;
    },
  };
}
