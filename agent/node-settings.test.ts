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

const settings = (...argv: string[]) => nodeSettings(parseConfig(AGENT_CONFIG, { env: {}, argv }));

test.each([
  [
    [],
    [
      [0, 20],
      [2_000_000_000, 10],
    ],
  ],
  [
    ['--shutdown-grace-period=5s', '--shutdown-grace-period-critical-pods=10s'],
    [
      [0, 0],
      [2_000_000_000, 5],
    ],
  ],
  [['--shutdown-grace-period=0s'], []],
  [
    ['--shutdown-grace-period-by-pod-priority=0=20s,100000=1m30s'],
    [
      [0, 20],
      [100_000, 90],
    ],
  ],
])('%j gives pods so long when the host goes down', (argv, expected) => {
  expect(settings(...argv).shutdown.map(({ priority, graceSeconds }) => [priority, graceSeconds])).toEqual(expected);
});

test.each([
  ['--shutdown-grace-period-by-pod-priority=high=20s', 'is not <priority>=<duration>'],
  ['--memory-throttling-factor=1.5', 'is not a number greater than 0 and at most 1'],
  ['--memory-throttling-factor=much', 'is not a number'],
  ['--image-maximum-gc-age=old', 'imageMaximumGcAge'],
  ['--preloaded-images-verification-allowlist=r.example/app', 'needs imagePullCredentialsVerificationPolicy'],
])('%s is refused', (flag, message) => {
  expect(() => settings(flag)).toThrow(message);
});

test('memory QoS is off unless asked for', () => {
  expect(settings().memoryQos).toEqual({ throttlingFactor: undefined, isReserved: false });
  const asked = settings('--memory-throttling-factor=0.9', '--memory-reservation-policy=TieredReservation');
  expect(asked.memoryQos).toEqual({ throttlingFactor: 0.9, isReserved: true });
});

test('images that no pod brought are open to all pods, or those of a list', () => {
  expect(settings().imageVerification).toEqual({ kind: 'NeverVerifyPreloadedImages', allowlist: [] });
  const policy = '--image-pull-credentials-verification-policy=NeverVerifyAllowlistedImages';
  const { kind, allowlist } = settings(
    policy,
    '--preloaded-images-verification-allowlist=r.example/*',
  ).imageVerification;
  expect([kind, allowlist]).toEqual(['NeverVerifyAllowlistedImages', [{ text: 'r.example/', isPrefix: true }]]);
  expect(() => settings(policy, '--preloaded-images-verification-allowlist=nginx')).toThrow(
    'preloadedImagesVerificationAllowlist: only full names',
  );
});
