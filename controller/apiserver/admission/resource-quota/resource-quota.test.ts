import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { type ConfigMap, type Pod, resources, type Service } from '#api/object/kinds.ts';
import type { ResourceQuota } from '#api/quota/quota.ts';
import { asCertificate, createSecuredServer, type SecuredServer } from '../../testing/secured-server.ts';

let api: SecuredServer;
let admin: KubeClient;
let namespace: string;
let count = 0;

beforeAll(async () => {
  api = await createSecuredServer();
  admin = api.clientAs(asCertificate('admin', 'system:masters'));
});
afterAll(() => api.stop());

beforeEach(async () => {
  namespace = `n${count++}`;
  await admin.resource(resources.namespaces).create({ metadata: { name: namespace } });
  await admin.resource(resources.serviceAccounts).create({ metadata: { name: 'default', namespace } });
});

/** A quota as the controller leaves it once it has counted. */
async function quota(name: string, hard: Record<string, string>, used: Record<string, string> = {}, spec: object = {}) {
  const client = admin.resource<ResourceQuota>(resources.resourceQuotas);
  const created = await client.create({ metadata: { name, namespace }, spec: { hard, ...spec } });
  const zero = Object.fromEntries(Object.keys(hard).map((resource) => [resource, '0']));
  await client.update({ ...created, status: { hard, used: { ...zero, ...used } } }, 'status');
}

const usedOf = async (name: string) =>
  (await admin.resource<ResourceQuota>(resources.resourceQuotas).fetch(name, namespace)).status?.used;

const maps = () => admin.resource<ConfigMap>(resources.configMaps);
const addMap = (name: string) => maps().create({ metadata: { name, namespace } });
const container = (requests?: object) => ({ name: 'c', image: 'i', ...(requests && { resources: { requests } }) });
const addPod = (name: string, spec: object) =>
  admin.resource<Pod>(resources.pods).create({ metadata: { name, namespace }, spec: spec as never });

describe('ResourceQuota', () => {
  it('lets exactly as many in as there is room for, however many come at once', async () => {
    await quota('q', { configmaps: '10', 'count/configmaps': '10' });
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => addMap(`m${i}`)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect((await maps().fetchList({ namespace })).items).toHaveLength(10);
    expect(await usedOf('q')).toEqual({ configmaps: '10', 'count/configmaps': '10' });
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: {
        code: 403,
        message: expect.stringMatching(
          /^configmaps "m\d+" is forbidden: exceeded quota: q, requested: configmaps=1,count\/configmaps=1, used: configmaps=10,count\/configmaps=10, limited: configmaps=10,count\/configmaps=10$/,
        ),
      },
    });
  });

  it('takes a charge back for what was not written', async () => {
    await quota('q', { configmaps: '2' });
    await addMap('m');
    await expect(addMap('m')).rejects.toMatchObject({ reason: 'AlreadyExists' });
    expect(await usedOf('q')).toEqual({ configmaps: '1' });
  });

  it('charges nothing for a dry run, which is refused like the real thing', async () => {
    await quota('q', { configmaps: '1' });
    const dryRun = (name: string) =>
      api.call({
        method: 'POST',
        url: `/api/v1/namespaces/${namespace}/configmaps?dryRun=All`,
        peer: { certificate: { commonName: 'admin', organizations: ['system:masters'] } },
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } },
      });
    expect((await dryRun('a')).status).toBe(201);
    expect(await usedOf('q')).toEqual({ configmaps: '0' });
    await addMap('b');
    expect((await dryRun('a')).status).toBe(403);
  });

  it('charges all quotas or none', async () => {
    await quota('a', { configmaps: '5' });
    await quota('b', { 'count/configmaps': '0' });
    await expect(addMap('m')).rejects.toMatchObject({ message: expect.stringContaining('exceeded quota: b') });
    expect(await usedOf('a')).toEqual({ configmaps: '0' });
  });

  it('counts what pods ask for, and wants them to say it', async () => {
    await quota('q', { 'requests.cpu': '1', pods: '5' });
    await expect(addPod('silent', { containers: [container()] })).rejects.toMatchObject({
      message: 'pods "silent" is forbidden: failed quota: q: must specify requests.cpu for: c',
    });
    await addPod('a', { containers: [container({ cpu: '600m' })] });
    await expect(addPod('b', { containers: [container({ cpu: '600m' })] })).rejects.toMatchObject({
      message:
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1',
    });
    expect(await usedOf('q')).toEqual({ pods: '1', 'requests.cpu': '600m' });
  });

  it('asks only quotas in whose scope the pod is', async () => {
    await quota('q', { pods: '0' }, {}, { scopes: ['BestEffort'] });
    await expect(addPod('effortless', { containers: [container()] })).rejects.toMatchObject({ code: 403 });
    await addPod('burstable', { containers: [container({ cpu: '1' })] });
  });

  it('refuses what nobody has counted yet', async () => {
    const client = admin.resource<ResourceQuota>(resources.resourceQuotas);
    const created = await client.create({ metadata: { name: 'q', namespace }, spec: { hard: { configmaps: '3' } } });
    await client.update({ ...created, status: { hard: { configmaps: '3' } } }, 'status');
    await expect(addMap('m')).rejects.toMatchObject({
      message: 'configmaps "m" is forbidden: status unknown for quota: q, resources: configmaps',
    });
  });

  it('charges an update of a Service for what it adds', async () => {
    await quota('q', { 'services.nodeports': '1' });
    const services = admin.resource<Service>(resources.services);
    const service = await services.create({ metadata: { name: 's', namespace }, spec: { ports: [{ port: 1 }] } });
    const ports = [
      { name: 'a', port: 1 },
      { name: 'b', port: 2 },
    ];
    const wish = (part: object) => ({ ...service, spec: { ...service.spec, type: 'NodePort' as const, ...part } });
    await expect(services.update(wish({ ports }))).rejects.toMatchObject({
      message: expect.stringContaining(
        'exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0',
      ),
    });
    await services.update(wish({}));
    expect(await usedOf('q')).toEqual({ 'services.nodeports': '1' });
  });

  it('has nothing to do with namespaces without quotas', async () => {
    const plugin = api.security.admission.find(({ name }) => name === 'ResourceQuota');
    const target = { operation: 'CREATE', subresource: '', namespace, resource: { group: '', resource: 'configmaps' } };
    expect(plugin?.handles(target as never)).toBe(false);
    await quota('q', {});
    expect(plugin?.handles(target as never)).toBe(true);
  });
});
