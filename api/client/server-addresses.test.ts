import { expect, it } from 'vitest';
import { ConfigError } from '#base/config.ts';
import { parseServerAddresses } from './server-addresses.ts';

it('brings addresses into one form', () => {
  const servers = [
    'https://10.0.0.1:6443/',
    'https://10.0.0.1:6443',
    'https://API.example:443',
    'https://[FD00::1]:6443',
  ];
  expect(parseServerAddresses(servers)).toEqual([
    'https://10.0.0.1:6443',
    'https://api.example',
    'https://[fd00::1]:6443',
  ]);
});

it.each(['10.0.0.1', '10.0.0.1:6443', 'http://10.0.0.1:6443', 'ftp://x', 'https://x/path', 'https://a:b@x', ''])(
  'refuses "%s"',
  (text) => {
    expect(() => parseServerAddresses([text])).toThrow(ConfigError);
  },
);
