import { expect, test } from 'vitest';
import { addressAt, formatIp, type IpRange, parseCidr, parseIp, rangeContains } from './ip-address.ts';

const canonical = (text: string): string | undefined => {
  const ip = parseIp(text);
  return ip && formatIp(ip);
};

test.each([
  ['10.96.0.1', '10.96.0.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['FD00:0:0:1::2', 'fd00:0:0:1::2'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:0:2:0:3:0:4:0', '1:0:2:0:3:0:4:0'],
  ['::ffff:1.2.3.4', '::ffff:102:304'],
  ['1::', '1::'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
])('%s is %s', (text, expected) => {
  expect(canonical(text)).toBe(expected);
});

test.each([
  ...['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '1.2.3.256', '1.2.3.', 'x'],
  ...[':', ':::', '1:2', '::1%eth0', '1::2::3', '1:2:3:4:5:6:7:8::', '1:2:3:4:5:6:7:8:9', ':1::', '12345::', '::g'],
  ...['1.2.3.4::', '::1.2.3', '1:2:3:4:5:6:7:1.2.3.4', ' ::1', '1:2:3:4:5:6:7:'],
])('%j is no address', (text) => {
  expect(parseIp(text)).toBeUndefined();
});

test.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', 'fd00::/129', '/8'])('%j is no range', (text) => {
  expect(parseCidr(text)).toBeUndefined();
});

test('a range drops host bits, counts its addresses and knows its own', () => {
  const range = parseCidr('10.96.5.9/16') as IpRange;
  expect([addressAt(range, 0n), range.size, addressAt(range, range.size - 1n)]).toEqual([
    '10.96.0.0',
    65_536n,
    '10.96.255.255',
  ]);
  const holds = (text: string) => rangeContains(range, parseIp(text)!);
  expect(['10.96.0.0', '10.96.255.255', '10.97.0.0', '10.95.255.255', '::a60:1'].map(holds)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});
