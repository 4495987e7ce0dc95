import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import type { PodUid } from './pod-spec.ts';
import { RuntimeCache } from './runtime-cache.ts';

it.each([
  { hostIps: ['192.0.2.1', 'fd00::1'], told: ['10.244.0.5', 'fd42::5'], want: ['10.244.0.5', 'fd42::5'] },
  // Runtimes put IPv4 first.
  { hostIps: ['fd00::1', '192.0.2.1'], told: ['10.244.0.5', 'fd42::5'], want: ['fd42::5', '10.244.0.5'] },
  { hostIps: ['192.0.2.1'], told: ['fd42::5'], want: ['fd42::5'] },
  { hostIps: [], told: ['fd42::5', '10.244.0.5'], want: ['fd42::5', '10.244.0.5'] },
])('a pod has its addresses in the order of the node ($hostIps)', async ({ hostIps, told, want }) => {
  const identity = { uid: 'u' as PodUid, namespace: 'ns', name: 'p' };
  const status = { id: 's', identity: { ...identity, attempt: 0 }, ready: true, createdAtMs: 0, ips: told };
  const cache = new RuntimeCache({
    runtime: { sandboxStatus: async () => status } as unknown as ContainerRuntime,
    clock: new FakeClock(),
    log: silentLogger,
    hostIps,
    onChange() {},
    exitMessage: async () => '',
  });
  expect((await cache.refreshSandbox(identity, 's')).ips).toEqual(want);
});
