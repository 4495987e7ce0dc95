import { describe, expect, it } from 'vitest';
import { keyAfter, OrderedMap, prefixEnd } from './ordered-map.ts';

/** A small deterministic generator, so that a failure can be repeated. */
function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const sorted = (model: ReadonlyMap<string, number>) => [...model].sort(([a], [b]) => (a < b ? -1 : 1));

function expectEqual(map: OrderedMap<number>, model: ReadonlyMap<string, number>): void {
  expect([...map.range('')]).toEqual(sorted(model).map(([, value]) => value));
  expect(map.size).toBe(model.size);
}

describe('OrderedMap', () => {
  it('behaves like a sorted map under random changes, and old versions stay as they were', () => {
    const random = randomSource(7);
    const model = new Map<string, number>();
    let map = OrderedMap.empty<number>();
    const kept: [OrderedMap<number>, Map<string, number>][] = [];
    for (let step = 0; step < 6000; step++) {
      const key = `/registry/${Math.floor(random() * 3)}/${Math.floor(random() * 900)}`;
      const shrinking = step > 4000;
      if (random() < (shrinking ? 0.8 : 0.3)) {
        map = map.without(key);
        model.delete(key);
      } else {
        map = map.with(key, step);
        model.set(key, step);
      }
      expect(map.get(key)).toBe(model.get(key));
      if (step % 1000 === 0) kept.push([map, new Map(model)]);
    }
    expectEqual(map, model);
    for (const [old, oldModel] of kept) expectEqual(old, oldModel);
  });

  it('counts and iterates ranges by prefix', () => {
    const random = randomSource(3);
    const keys = new Set(
      Array.from({ length: 3000 }, () => `/r/${Math.floor(random() * 20)}/${Math.floor(random() * 1e6)}`),
    );
    const model = [...keys].sort();
    const map = OrderedMap.fromSorted(model.map((key) => [key, key] as const));
    for (let i = 0; i < 20; i++) {
      const prefix = `/r/${i}/`;
      const expected = model.filter((key) => key.startsWith(prefix));
      expect([...map.range(prefix, prefixEnd(prefix))]).toEqual(expected);
      expect(map.countRange(prefix, prefixEnd(prefix))).toBe(expected.length);
      const after = expected[Math.floor(expected.length / 2)]!;
      const rest = expected.filter((key) => key > after);
      expect([...map.range(keyAfter(after), prefixEnd(prefix))]).toEqual(rest);
      expect(map.countRange(keyAfter(after), prefixEnd(prefix))).toBe(rest.length);
    }
    expect(map.countRange('/s/', prefixEnd('/s/'))).toBe(0);
    expect(OrderedMap.empty().countRange('', undefined)).toBe(0);
  });

  it('empties and fills again', () => {
    let map = OrderedMap.empty<number>();
    for (let i = 0; i < 500; i++) map = map.with(String(i), i);
    for (let i = 0; i < 500; i++) map = map.without(String(i));
    expect([map.size, [...map.range('')], map.get('1')]).toEqual([0, [], undefined]);
    expect([...map.with('a', 1).range('')]).toEqual([1]);
    expect(map.without('absent')).toBe(map);
  });
});
