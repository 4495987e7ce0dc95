import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import type { ResourceQuota } from '#api/quota/quota.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** A real controller, whose quota controller recounts while requests charge, on a real disk. */
let controller: ControllerProcess;
beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true });
});
afterAll(() => controller?.stop());

const ROOM = 10;
const namespace = 'bounded';
const isRefused = ({ status }: PromiseSettledResult<unknown>) => status === 'rejected';

test('fifty pods at once never take more than a quota allows, while others go, and the count is right in the end', async () => {
  const { client } = controller;
  const pods = client.resource<Pod>(resources.pods);
  const quotas = client.resource<ResourceQuota>(resources.resourceQuotas);
  await client.resource(resources.namespaces).create({ metadata: { name: namespace } });
  await waitUntil('the default account', 10_000, async () => {
    const { items } = await client.resource(resources.serviceAccounts).fetchList({ namespace });
    return items.length > 0;
  });
  const hard = { pods: `${ROOM}`, 'requests.cpu': '1' };
  await quotas.create({ metadata: { name: 'few', namespace }, spec: { hard } });
  const used = async () => (await quotas.fetch('few', namespace)).status?.used ?? {};
  await waitUntil('the first count', 10_000, async () => (await used()).pods === '0');

  const container = { name: 'c', image: 'i', resources: { requests: { cpu: '100m' } } };
  const create = (name: string) => pods.create({ metadata: { name, namespace }, spec: { containers: [container] } });
  const names = async () => (await pods.fetchList({ namespace })).items.map(({ metadata }) => metadata.name);

  const first = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => create(`a${i}`)));
  expect(first.filter(isRefused)).toHaveLength(50 - ROOM);
  expect(first.find(isRefused)).toMatchObject({ reason: { code: 403, reason: 'Forbidden' } });
  expect(await names()).toHaveLength(ROOM);

  // Half of them go while fifty others come.
  const leaving = (await names()).slice(0, ROOM / 2);
  const [later] = await Promise.all([
    Promise.allSettled(Array.from({ length: 50 }, (_, i) => create(`b${i}`))),
    ...leaving.map((name) => pods.delete({ name, namespace, gracePeriodSeconds: 0 })),
  ]);
  expect((await names()).length).toBeLessThanOrEqual(ROOM);
  expect(later.filter(isRefused).length).toBeGreaterThanOrEqual(50 - ROOM / 2);

  await waitUntil('the recount', 20_000, async () => (await used()).pods === `${(await names()).length}`);
  // What is free again can be had.
  const free = ROOM - (await names()).length;
  const last = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => create(`c${i}`)));
  expect(last.filter((outcome) => !isRefused(outcome))).toHaveLength(free);
  expect(await names()).toHaveLength(ROOM);
  await waitUntil('the last count', 20_000, async () => {
    const now = await used();
    return now.pods === `${ROOM}` && now['requests.cpu'] === '1';
  });
}, 240_000);
