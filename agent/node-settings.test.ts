import { expect, test } from 'vitest';
import { parseConfig } from '#base/config.ts';
import { AGENT_CONFIG } from './config.ts';
import { nodeSettings } from './node-settings.ts';

const pulls = (...argv: string[]) => nodeSettings(parseConfig(AGENT_CONFIG, { env: {}, argv })).maxParallelPulls;

test.each([
  [[], 2],
  [['--serialize-image-pulls'], 1],
  [['--max-parallel-image-pulls=5'], 5],
  [['--serialize-image-pulls', '--max-parallel-image-pulls=1'], 1],
])('%j pulls so many images at once: %i', (argv, expected) => {
  expect(pulls(...argv)).toBe(expected);
});

test('pulls one after the other cannot be several at once', () => {
  expect(() => pulls('--serialize-image-pulls', '--max-parallel-image-pulls=2')).toThrow(
    'maxParallelImagePulls cannot be larger than 1 unless serializeImagePulls is false',
  );
});
