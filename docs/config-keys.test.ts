import { describe, expect, it } from 'vitest';
import { AGENT_CONFIG } from '#agent/config.ts';
import type { ConfigSpec } from '#base/config.ts';
import { CONTROLLER_CONFIG } from '#controller/config.ts';

const SPECS: readonly (readonly [file: string, spec: ConfigSpec])[] = [
  ['controller/config.ts', CONTROLLER_CONFIG],
  ['agent/config.ts', AGENT_CONFIG],
];

describe.each(SPECS)('%s', (_, spec) => {
  it('describes every key in one line that ends without a full stop', () => {
    const bad = Object.entries(spec).filter(([, { description }]) => !/^\S.*[^.\s]$/.test(description));
    expect(bad).toEqual([]);
  });

  it('allows its own defaults', () => {
    const bad = Object.entries(spec).filter(([, key]) => key.oneOf?.includes(String(key.default)) === false);
    expect(bad).toEqual([]);
  });
});
