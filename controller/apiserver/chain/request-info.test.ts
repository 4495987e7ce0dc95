import { describe, expect, test } from 'vitest';
import { computeRequestInfo, isTrue } from './request-info.ts';

const RESOURCE_CASES: readonly [string, string, Record<string, string>][] = [
  ['GET', '/api/v1/pods', { verb: 'list', resource: 'pods', version: 'v1', group: '', namespace: '', name: '' }],
  ['GET', '/api/v1/pods?watch=true', { verb: 'watch', resource: 'pods' }],
  ['GET', '/api/v1/pods?watch=0', { verb: 'list' }],
  ['GET', '/api/v1/watch/pods', { verb: 'watch', resource: 'pods' }],
  ['GET', '/api/v1/watch/namespaces/a/pods/b', { verb: 'watch', resource: 'pods', namespace: 'a', name: 'b' }],
  ['GET', '/api/v1/namespaces/a/pods/b', { verb: 'get', resource: 'pods', namespace: 'a', name: 'b', subresource: '' }],
  ['GET', '/api/v1/namespaces/a/pods/b/log', { verb: 'get', resource: 'pods', subresource: 'log' }],
  ['GET', '/api/v1/namespaces', { verb: 'list', resource: 'namespaces', namespace: '', name: '' }],
  ['GET', '/api/v1/namespaces/a', { verb: 'get', resource: 'namespaces', namespace: 'a', name: 'a' }],
  [
    'PUT',
    '/api/v1/namespaces/a/finalize',
    { verb: 'update', resource: 'namespaces', namespace: 'a', name: 'a', subresource: 'finalize' },
  ],
  ['PUT', '/api/v1/namespaces/a/status', { resource: 'namespaces', name: 'a', subresource: 'status' }],
  ['POST', '/apis/apps/v1/namespaces/a/deployments', { verb: 'create', group: 'apps', resource: 'deployments' }],
  ['PATCH', '/apis/apps/v1/namespaces/a/deployments/d/scale', { verb: 'patch', subresource: 'scale', name: 'd' }],
  ['DELETE', '/api/v1/namespaces/a/pods', { verb: 'deletecollection', resource: 'pods' }],
  ['DELETE', '/api/v1/namespaces/a/pods/b', { verb: 'delete' }],
  [
    'GET',
    '/api/v1/namespaces/a/services/http:web:80/proxy/x/y%2Fz/?q=1',
    { verb: 'get', resource: 'services', name: 'http:web:80', subresource: 'proxy', rest: 'x/y%2Fz/' },
  ],
  ['GET', '/api/v1/nodes/n/proxy', { resource: 'nodes', name: 'n', subresource: 'proxy', rest: '' }],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dx', { verb: 'list', name: 'x' }],
  ['GET', '/api/v1/nodes/a%3Ab', { name: 'a:b' }],
  ['HEAD', '/api/v1/nodes/a', { verb: 'get' }],
  ['OPTIONS', '/api/v1/nodes/a', { verb: '' }],
];

describe('computeRequestInfo', () => {
  test.each(RESOURCE_CASES)('%s %s', (method, url, expected) => {
    const [path = '', query = ''] = url.split('?');
    expect(computeRequestInfo(method, path, query)).toMatchObject({ isResourceRequest: true, ...expected });
  });

  test.each(['/', '', '/version', '/api', '/api/v1', '/apis', '/apis/apps', '/apis/apps/v1', '/openapi/v3/api/v1'])(
    'GET %s is no resource request',
    (path) => {
      expect(computeRequestInfo('GET', path, '')).toMatchObject({ isResourceRequest: false, verb: 'get', path });
    },
  );

  test('a path that cannot be decoded is refused', () => {
    expect(() => computeRequestInfo('GET', '/api/v1/pods/%zz', '')).toThrow('invalid URL escape');
  });
});

test.each([
  ['true', true],
  ['1', true],
  ['', true],
  ['0', false],
  ['False', false],
  [null, false],
])('isTrue(%j) is %j', (value, expected) => {
  expect(isTrue(value)).toBe(expected);
});
