import type { NetworkInterfaceInfo } from 'node:os';
import { expect, test } from 'vitest';
import { ownNames } from './host-names.ts';

const address = (text: string, internal = false) => ({ address: text, internal }) as NetworkInterfaceInfo;

test('the serving certificate names no address that comes and goes with a pod', () => {
  const interfaces = {
    lo: [address('127.0.0.1', true), address('169.254.10.53')],
    eth0: [address('192.0.2.7'), address('2001:db8::7'), address('fe80::1')],
    veth01234567: [address('fe80::d88e:c3ff:feaa:43df')],
  };
  expect(ownNames(['192.0.2.8', 'pi.example.org'], interfaces)).toEqual({
    hostnames: [expect.any(String), 'pi.example.org'],
    addresses: ['192.0.2.7', '2001:db8::7', '192.0.2.8'],
  });
});
