import { expect, test } from 'vitest';
import { drawOrder, IP_BAND, PORT_BAND, reservedBand } from './bands.ts';

test.each([
  [16n, 0n],
  [64n, 16n],
  [1022n, 63n],
  [65_534n, 256n],
])('a range of %d addresses keeps %d for fixed ones', (size, reserved) => {
  expect(reservedBand(size, IP_BAND)).toBe(reserved);
});

test('the node ports keep 86 for fixed ones', () => {
  expect(reservedBand(2768n, PORT_BAND)).toBe(86n);
});

test.each([0, 0.3, 0.999_999])('every place is drawn once, those for fixed values last (random %d)', (random) => {
  const order = [...drawOrder(64n, IP_BAND, () => random)];
  expect(new Set(order).size).toBe(64);
  expect(order.slice(0, 48).every((place) => place >= 16n)).toBe(true);
});
