import type { Clock } from '#base/clock.ts';
import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import type { Peer } from '../server/api-request.ts';

/**
 * CN is the user, each O a group. The server has already proved the certificate against our CA; a connection may outlive it, so its end is
 * looked at with every request. One UserInfo per connection, because authorizers keep what they resolved beside it.
 */
export function createClientCertificateAuthenticator(clock: Pick<Clock, 'now'>): Authenticator {
  const users = new WeakMap<NonNullable<Peer['certificate']>, UserInfo>();
  return {
    name: 'client-certificate',
    authenticate({ peer: { certificate } }) {
      if (certificate === undefined || certificate.commonName === '') return undefined;
      if (certificate.expiresAtMs !== undefined && certificate.expiresAtMs <= clock.now()) return undefined;
      let user = users.get(certificate);
      if (user === undefined) {
        user = { name: certificate.commonName, groups: [...certificate.organizations, 'system:authenticated'] };
        users.set(certificate, user);
      }
      return user;
    },
  };
}
