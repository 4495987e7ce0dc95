import { describe, expect, it } from 'vitest';
import { forwardedHeaders, parseProxyName, returnedHeaders, rewriteLink } from './proxy-target.ts';

describe('proxy name', () => {
  it.each([
    ['web', { scheme: 'http', name: 'web', port: '' }],
    ['web:8080', { scheme: 'http', name: 'web', port: '8080' }],
    ['web:metrics', { scheme: 'http', name: 'web', port: 'metrics' }],
    ['https:web:8443', { scheme: 'https', name: 'web', port: '8443' }],
    ['https:web:', { scheme: 'https', name: 'web', port: '' }],
  ])('%s', (text, expected) => {
    expect(parseProxyName(text)).toEqual(expected);
  });

  it.each(['ftp:web:21', 'a:b:c:d'])('refuses %s', (text) => {
    expect(() => parseProxyName(text)).toThrow('invalid proxy request');
  });
});

describe('proxied headers', () => {
  it('keep the credentials of the client from the backend', () => {
    const raw = [
      'Authorization',
      'Bearer x',
      'Impersonate-User',
      'a',
      'Accept',
      'a',
      'Accept',
      'b',
      'Host',
      'h',
      'TE',
      'x',
    ];
    expect(forwardedHeaders(raw)).toEqual({ accept: ['a', 'b'] });
  });

  const prefix = '/api/v1/namespaces/d/pods/web:80/proxy';
  const place = { prefix, backendHost: 'web:80', clientHost: 'k8s:6443' };

  it.each([
    ['/login', `${prefix}/login`],
    ['/login?next=/a#b', `${prefix}/login?next=/a#b`],
    ['/', `${prefix}/`],
    [`${prefix}/x`, `${prefix}/x`],
    [prefix, prefix],
    ['http://web:80/a', `${prefix}/a`],
    ['http://web:80', `${prefix}/`],
    ['https://k8s:6443/a', `${prefix}/a`],
    ['//web:80/a', `${prefix}/a`],
    ['https://other/a', 'https://other/a'],
    ['//other/a', '//other/a'],
    ['relative/a', 'relative/a'],
    ['?a=b', '?a=b'],
    ['#top', '#top'],
    ['mailto:a@b', 'mailto:a@b'],
    ['javascript:/x/', 'javascript:/x/'],
    ['', ''],
  ])('keep the link %j under the path of the proxy', (link, expected) => {
    expect(rewriteLink(link, place)).toBe(expected);
  });

  it('come back with redirects in place, without those of the connection and of other origins', () => {
    const headers = {
      location: '/login',
      connection: 'close',
      'access-control-allow-origin': '*',
      'set-cookie': ['a=b; Path=/', 'c=d'],
      'content-length': '3',
    };
    expect(returnedHeaders(headers, place)).toEqual({
      location: `${prefix}/login`,
      'set-cookie': ['a=b; Path=/', 'c=d'],
      'content-length': '3',
    });
  });
});
