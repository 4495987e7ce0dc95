import { describe, expect, it } from 'vitest';
import { forwardedHeaders, parseProxyName, returnedHeaders } from './proxy-target.ts';

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

  it('keep redirects under the path of the proxy', () => {
    const prefix = '/api/v1/namespaces/d/pods/web/proxy';
    expect(returnedHeaders({ location: '/login', connection: 'close' }, prefix)).toEqual({
      location: `${prefix}/login`,
    });
    expect(returnedHeaders({ location: 'https://other/' }, prefix)).toEqual({ location: 'https://other/' });
    expect(returnedHeaders({ location: '//other/' }, prefix)).toEqual({ location: '//other/' });
  });
});
