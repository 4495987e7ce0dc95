import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ConfigMap, resources, type Secret } from '#api/object/kinds.ts';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { seal, unseal } from './pod-copies.ts';

let rig: KubeletRig;
beforeEach(() => {
  rig = new KubeletRig();
});
afterEach(() => rig.stop());

test('what is sealed for one pod opens for that pod alone, and only unchanged', () => {
  const key = new Uint8Array(32).fill(7);
  const sealed = seal('hush', key, 'uid-1');
  expect(unseal(sealed, key, 'uid-1')).toBe('hush');
  expect(Buffer.from(sealed).includes('hush')).toBe(false);
  expect(() => unseal(sealed, key, 'uid-2')).toThrow();
  expect(() => unseal(sealed, new Uint8Array(32), 'uid-1')).toThrow();
  const changed = Uint8Array.from(sealed);
  changed[20]! ^= 1;
  expect(() => unseal(changed, key, 'uid-1')).toThrow();
});

test('after a power cut a pod starts again without the API, with its ConfigMap, Secret and Services', async () => {
  const maps = rig.client.resource<ConfigMap>(resources.configMaps);
  const secrets = rig.client.resource<Secret>(resources.secrets);
  await maps.create({ metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'green' } });
  await secrets.create({ metadata: { name: 'key', namespace: 'default' }, data: { word: 'aHVzaA==' } });
  await rig.createService('db', 'default', '10.96.0.7', 5432);
  await rig.start();
  const env = [
    { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
    { name: 'WORD', valueFrom: { secretKeyRef: { name: 'key', key: 'word' } } },
  ];
  const pod = await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, env }] });
  // Copies follow soon, Services within a minute.
  await rig.advance(70_000);
  const sealed = await rig.host.fs.readText(`/var/lib/coracle/agent/copies/${pod.metadata.uid}.sealed`);
  expect(sealed).not.toContain('green');

  await rig.powerCut();
  rig.isApiDown = true;
  rig.startOffline();
  for (let second = 0; second < 40; second++) await rig.advance(1000);
  const started = rig.runtime.findContainer('app', pod.metadata.uid)!;
  expect(started.state).toBe('RUNNING');
  expect(rig.runtime.containers.get(started.id)?.config.env).toEqual(
    expect.arrayContaining([
      { key: 'COLOUR', value: 'green' },
      { key: 'WORD', value: 'hush' },
      { key: 'DB_SERVICE_HOST', value: '10.96.0.7' },
    ]),
  );

  rig.isApiDown = false;
  await rig.advance(120_000);
  expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  expect(rig.pod()?.metadata.uid).toBe(pod.metadata.uid);
  expect(rig.runtime.findContainer('app', pod.metadata.uid)?.id).toBe(started.id);
});

test('the copies of a pod go with it', async () => {
  await rig.client
    .resource<ConfigMap>(resources.configMaps)
    .create({ metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'green' } });
  await rig.start();
  await rig.createPod({ volumes: [{ name: 's', configMap: { name: 'settings' } }] });
  await rig.advance(10_000);
  const copies = () => rig.host.fs.list('/var/lib/coracle/agent/copies');
  expect(await copies()).toHaveLength(1);
  await rig.client.resource(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 0 });
  await rig.advance(1000);
  expect(await copies()).toEqual([]);
});
