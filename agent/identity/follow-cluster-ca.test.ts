import { expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { followClusterCa } from './follow-cluster-ca.ts';

it('trusts what the cluster says is its CA, now and later', async () => {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const client: KubeClient = cluster.client();
  const configMaps = client.resource<ConfigMap>(resources.configMaps);
  const metadata = { name: 'extension-apiserver-authentication', namespace: 'kube-system' };
  const created = await configMaps.create({ metadata, data: { 'client-ca-file': 'first' } });
  const identity = {
    caPem: 'first',
    async trust(caPem: string) {
      identity.caPem = caPem;
    },
  };
  const seen: string[] = [];
  const abort = new AbortController();
  const settle = async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  const onChanged = () => seen.push(identity.caPem);
  const following = followClusterCa({ identity, client, clock, log: silentLogger, signal: abort.signal, onChanged });
  await settle();
  expect(seen).toEqual([]);
  const changed = await configMaps.update({ ...created, data: { 'client-ca-file': 'second+first' } });
  await settle();
  expect(seen).toEqual(['second+first']);
  // Nothing is no answer.
  await configMaps.update({ ...changed, data: {} });
  await settle();
  expect(identity.caPem).toBe('second+first');
  abort.abort();
  await following;
});
