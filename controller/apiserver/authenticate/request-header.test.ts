import { describe, expect, it } from 'vitest';
import { fakeRequest } from '../testing/fake-request.ts';
import { createRequestHeaderAuthenticator } from './request-header.ts';

const authenticator = createRequestHeaderAuthenticator(['front-proxy-client']);
const proxy = { frontProxy: { commonName: 'front-proxy-client' } };
const headers = {
  'x-remote-user': 'ann',
  'x-remote-uid': '7',
  'x-remote-group': ['a', 'b,c'],
  'x-remote-extra-example.com%2fscopes': ['read, all', 'write'],
};

describe('the request-header authenticator', () => {
  it('believes a front proxy', () => {
    expect(authenticator.authenticate(fakeRequest({ headers, peer: proxy }))).toEqual({
      name: 'ann',
      uid: '7',
      groups: ['a', 'b,c', 'system:authenticated'],
      extra: { 'example.com/scopes': ['read, all', 'write'] },
    });
  });

  it.each<[string, Parameters<typeof fakeRequest>[0]]>([
    ['clients without certificate', { headers }],
    [
      'users of the cluster CA',
      { headers, peer: { certificate: { commonName: 'front-proxy-client', organizations: [] } } },
    ],
    ['proxies of other names', { headers, peer: { frontProxy: { commonName: 'other' } } }],
    ['proxies that name nobody', { headers: { 'x-remote-group': 'system:masters' }, peer: proxy }],
  ])('has no opinion on %s', (_, facts) => {
    expect(authenticator.authenticate(fakeRequest(facts))).toBeUndefined();
  });
});
