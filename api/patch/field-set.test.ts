import { describe, expect, it } from 'vitest';
import {
  differenceOf,
  equalSets,
  type FieldSet,
  intersectionOf,
  isEmptySet,
  recursiveDifferenceOf,
  renderPaths,
  setOfPaths,
  unionOf,
} from './field-set.ts';

/** Small and seeded: the same sets in every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomSet(random: () => number, depth = 3): FieldSet {
  const set: Record<string, FieldSet> = {};
  for (const element of ['f:a', 'f:b', 'k:{"name":"x"}', 'v:1']) {
    if (random() < 0.4) continue;
    const below = depth === 0 || random() < 0.3 ? {} : randomSet(random, depth - 1);
    set[element] = !isEmptySet(below) && random() < 0.5 ? { '.': {}, ...below } : below;
  }
  return set;
}

const paths = (set: FieldSet) => new Set(renderPaths(set));
const sorted = (set: Iterable<string>) => [...set].sort();

describe('field sets', () => {
  it('obey the laws of sets, path by path', () => {
    const random = createRandom(7);
    for (let round = 0; round < 300; round++) {
      const [a, b] = [randomSet(random), randomSet(random)];
      const [inA, inB] = [paths(a), paths(b)];
      expect(sorted(paths(unionOf(a, b)))).toEqual(sorted(inA.union(inB)));
      expect(sorted(paths(differenceOf(a, b)))).toEqual(sorted(inA.difference(inB)));
      expect(sorted(paths(intersectionOf(a, b)))).toEqual(sorted(inA.intersection(inB)));
      expect(equalSets(unionOf(differenceOf(a, b), intersectionOf(a, b)), unionOf(a, a))).toBe(true);
    }
  });

  it('lose everything below a path in a recursive difference', () => {
    const set = { 'f:status': { '.': {}, 'f:phase': {} }, 'f:spec': { 'f:x': {} } };
    expect(recursiveDifferenceOf(set, setOfPaths(['status']))).toEqual({ 'f:spec': { 'f:x': {} } });
    expect(differenceOf(set, setOfPaths(['status']))).toEqual({
      'f:status': { 'f:phase': {} },
      'f:spec': { 'f:x': {} },
    });
  });

  it('print as Kubernetes prints paths', () => {
    const set = {
      'f:spec': { 'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': {} }, 'f:list': { 'v:"x"': {}, 'i:0': {} } },
    };
    expect(renderPaths(set)).toEqual([
      '.spec.list[0]',
      '.spec.list[="x"]',
      '.spec.ports[containerPort=80,protocol="TCP"]',
    ]);
  });
});
