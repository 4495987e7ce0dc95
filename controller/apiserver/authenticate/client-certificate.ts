import type { Authenticator, UserInfo } from '../chain/request-context.ts';
import type { Peer } from '../server/api-request.ts';

/**
 * CN is the user, each O a group. The server has already proved the certificate against our CA. One UserInfo per connection, because
 * authorizers keep what they resolved beside it.
 */
export function createClientCertificateAuthenticator(): Authenticator {
  const users = new WeakMap<NonNullable<Peer['certificate']>, UserInfo>();
  return {
    name: 'client-certificate',
    authenticate({ peer: { certificate } }) {
      if (certificate === undefined || certificate.commonName === '') return undefined;
      let user = users.get(certificate);
      if (user === undefined) {
        user = { name: certificate.commonName, groups: [...certificate.organizations, 'system:authenticated'] };
        users.set(certificate, user);
      }
      return user;
    },
  };
}
