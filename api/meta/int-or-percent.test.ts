import { expect, it } from 'vitest';
import { resolveIntOrPercent } from './int-or-percent.ts';

it('resolveIntOrPercent rounds what is gained up and what is given up down', () => {
  expect([
    resolveIntOrPercent('25%', 10, 'up'),
    resolveIntOrPercent('25%', 10, 'down'),
    resolveIntOrPercent(3, 10, 'up'),
  ]).toEqual([3, 2, 3]);
});
