import { readFileSync } from 'node:fs';
import {
  AppsV1Api,
  CoreV1Api,
  CustomObjectsApi,
  type Informer,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  Watch,
} from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const NAMESPACE = 'default';
const LABEL = { suite: 'client-node' };

/** The JavaScript client as its users use it: nothing is set but the address, which tests have on loopback. */
describe('@kubernetes/client-node', () => {
  let controller: ControllerProcess;
  let config: KubeConfig;
  let core: CoreV1Api;

  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    config = new KubeConfig();
    config.loadFromString(
      readFileSync(controller.kubeconfig, 'utf8').replace(/server: .*/, `server: ${controller.access.server}`),
    );
    core = config.makeApiClient(CoreV1Api);
  });
  afterAll(() => controller?.stop());

  const createMap = (name: string, data: Record<string, string> = {}) =>
    core.createNamespacedConfigMap({
      namespace: NAMESPACE,
      body: { metadata: { name, labels: LABEL }, data },
    });

  it('creates, reads, patches each way, lists by label and deletes', async () => {
    await createMap('crud', { a: '1' });
    const apps = config.makeApiClient(AppsV1Api);
    const labels = { app: 'crud' };
    const made = await apps.createNamespacedDeployment({
      namespace: NAMESPACE,
      body: {
        metadata: { name: 'crud' },
        spec: {
          replicas: 0,
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'busybox' }] } },
        },
      },
    });
    expect(made.spec?.strategy?.type).toBe('RollingUpdate');
    expect(made.metadata?.creationTimestamp).toBeInstanceOf(Date);
    const patched = await core.patchNamespacedConfigMap(
      { name: 'crud', namespace: NAMESPACE, body: [{ op: 'replace', path: '/data/a', value: '2' }] },
      setHeaderOptions('Content-Type', PatchStrategy.JsonPatch),
    );
    expect(patched.data).toEqual({ a: '2' });
    const applied = await core.patchNamespacedConfigMap(
      {
        name: 'crud',
        namespace: NAMESPACE,
        fieldManager: 'tester',
        force: true,
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'crud' }, data: { a: '3' } },
      },
      setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
    );
    expect(applied.metadata?.managedFields?.map(({ manager }) => manager)).toContain('tester');
    const found = await core.listNamespacedConfigMap({ namespace: NAMESPACE, labelSelector: 'suite=client-node' });
    expect(found.items.map((map) => map.data)).toEqual([{ a: '3' }]);
    await core.deleteNamespacedConfigMap({ name: 'crud', namespace: NAMESPACE });
    await expect(core.readNamespacedConfigMap({ name: 'crud', namespace: NAMESPACE })).rejects.toMatchObject({
      code: 404,
    });
  });

  it('finds kinds by discovery', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const made: KubernetesObject = await objects.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'dynamic', namespace: NAMESPACE },
    });
    expect(made.metadata?.uid).toMatch(/^[0-9a-f-]{36}$/);
    const custom = config.makeApiClient(CustomObjectsApi);
    await expect(
      custom.listClusterCustomObject({ group: 'example.com', version: 'v1', plural: 'nothings' }),
    ).rejects.toMatchObject({ code: 404 });
  });

  it('keeps an informer in step across a kill of the controller', async () => {
    const list = () => core.listNamespacedConfigMap({ namespace: NAMESPACE, labelSelector: 'suite=client-node' });
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
    const informer: Informer<V1ConfigMap> = makeInformer(config, path, list, 'suite=client-node');
    const seen = new Map<string, string>();
    const remember = (map: V1ConfigMap) => seen.set(map.metadata!.name!, map.data?.value ?? '');
    informer.on('add', remember);
    informer.on('update', remember);
    informer.on('delete', (map) => seen.delete(map.metadata!.name!));
    let stopped = false;
    // The client's own documentation has its users start an informer again when its connection broke.
    informer.on('error', () => {
      if (!stopped) setTimeout(() => void informer.start().catch(() => {}), 200);
    });
    await createMap('first', { value: '1' });
    await informer.start();
    await waitUntil('the first object', 10_000, () => seen.get('first') === '1');
    await createMap('second', { value: '1' });
    await waitUntil('an added object', 10_000, () => seen.get('second') === '1');

    await controller.restart('SIGKILL');
    await core.replaceNamespacedConfigMap({
      name: 'first',
      namespace: NAMESPACE,
      body: { metadata: { name: 'first', labels: LABEL }, data: { value: '2' } },
    });
    await core.deleteNamespacedConfigMap({ name: 'second', namespace: NAMESPACE });
    await createMap('third', { value: '1' });
    await waitUntil('what changed after the restart', 30_000, () => {
      const state = [...seen].sort().flat().join(' ');
      return state === 'first 2 third 1';
    });
    stopped = true;
    await informer.stop();
  });

  it('watches with bookmarks from a revision', async () => {
    const { metadata } = await core.listNamespacedConfigMap({ namespace: NAMESPACE });
    const events: string[] = [];
    const watch = await new Watch(config).watch(
      `/api/v1/namespaces/${NAMESPACE}/configmaps`,
      { resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true, labelSelector: 'suite=client-node' },
      (type, object: V1ConfigMap) => events.push(`${type} ${object.metadata?.name}`),
      () => {},
    );
    await createMap('watched');
    await core.deleteNamespacedConfigMap({ name: 'watched', namespace: NAMESPACE });
    await waitUntil('both events', 10_000, () => events.length >= 2);
    expect(events).toEqual(['ADDED watched', 'DELETED watched']);
    watch.abort();
  });
});
