import { expect, it } from 'vitest';
import { toMicroTime } from '#base/clock.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { sampleValue } from '../store/testing/sample-values.ts';
import { refuseLiveApiServers } from './live-api-servers.ts';

const NOW_MS = Date.UTC(2026, 5, 1);

it.each<[string, string, number, boolean]>([
  ['that renewed its Lease just now', 'apiserver-abc', 5_000, true],
  ['that has been silent for half a minute', 'apiserver-abc', 31_000, false],
  ['that is none', 'kube-scheduler', 5_000, false],
])('an API server %s', async (_, name, ageMs, isRefused) => {
  const store = createMemoryStore();
  const spec = { holderIdentity: `${name}_1`, renewTime: toMicroTime(NOW_MS - ageMs) };
  await store.write(`/registry/leases/kube-system/${name}`, () => ({
    kind: 'put',
    value: sampleValue('Lease', name, { spec }),
  }));
  const check = () => refuseLiveApiServers(store, NOW_MS);
  if (isRefused) expect(check).toThrow(/works on this etcd still \(Lease apiserver-abc, held by apiserver-abc_1\)/);
  else check();
});
