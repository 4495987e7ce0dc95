import { describe, expect, it } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { chooseContainer } from './pod-location.ts';
import { validateLogOptions } from './pod-log.ts';

const pod = (containers: string[], initContainers: string[] = [], annotation?: string) =>
  ({
    metadata: {
      name: 'p',
      ...(annotation === undefined ? {} : { annotations: { 'kubectl.kubernetes.io/default-container': annotation } }),
    },
    spec: {
      containers: containers.map((name) => ({ name })),
      initContainers: initContainers.map((name) => ({ name })),
    },
  }) as unknown as Pod;

describe('container of a request', () => {
  it.each([
    ['the only one', pod(['a']), '', 'a'],
    ['the named one', pod(['a', 'b']), 'b', 'b'],
    ['a named init container', pod(['a'], ['i']), 'i', 'i'],
    ['the annotated default', pod(['a', 'b'], [], 'b'), '', 'b'],
  ])('is %s', (_, object, requested, expected) => {
    expect(chooseContainer(object, requested)).toBe(expected);
  });

  it.each([
    [pod(['a', 'b']), '', 'a container name must be specified for pod p, choose one of: [a b]'],
    [pod(['a', 'b'], ['i']), '', 'choose one of: [a b] or one of the init containers: [i]'],
    [pod(['a', 'b'], [], 'gone'), '', 'a container name must be specified'],
    [pod(['a']), 'x', 'container x is not valid for pod p'],
  ])('is refused in the words of Kubernetes', (object, requested, message) => {
    expect(() => chooseContainer(object, requested)).toThrow(message);
  });
});

describe('log options', () => {
  it.each([
    ['', []],
    ['tailLines=0&limitBytes=1&sinceSeconds=1', []],
    ['tailLines=-1', ['tailLines']],
    ['limitBytes=0', ['limitBytes']],
    ['sinceSeconds=0', ['sinceSeconds']],
    ['sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z', ['']],
  ])('%j', (query, fields) => {
    expect(validateLogOptions(new URLSearchParams(query)).map(({ field }) => field)).toEqual(fields);
  });
});
