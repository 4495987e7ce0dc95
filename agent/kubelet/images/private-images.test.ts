import { afterEach, beforeEach, expect, test } from 'vitest';
import { resources, type Secret } from '#api/object/kinds.ts';
import { KubeletRig } from '../testing/kubelet-rig.ts';

const IMAGE = 'r.example/app:1';
const auths = { 'r.example': { username: 'u', password: 'p' } };
const own = { imagePullSecrets: [{ name: 'own' }] };
const never = { containers: [{ name: 'app', image: IMAGE, imagePullPolicy: 'Never' as const }] };

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  rig.runtime.registry.add(IMAGE);
  await rig.client.resource<Secret>(resources.secrets).create({
    metadata: { name: 'own', namespace: 'default' },
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  });
  await rig.start();
  await rig.createPod({ containers: [{ name: 'app', image: IMAGE }], ...own }, 'first');
});
afterEach(() => rig.stop());

const phaseOf = (name: string) => rig.pod(name)?.status?.phase;

test('a private image is for pods that have what it was pulled with, whatever becomes of the agent', async () => {
  expect(phaseOf('first')).toBe('Running');
  await rig.restart();
  await rig.createPod({ ...never, ...own }, 'second');
  await rig.createPod(never, 'stranger');
  expect([phaseOf('second'), phaseOf('stranger')]).toEqual(['Running', 'Pending']);
  expect(rig.containerStatus('app', 'stranger')?.state?.waiting?.reason).toBe('ErrImageNeverPull');
});

test('one that went and was put there by hand is for all pods', async () => {
  rig.runtime.images.delete(IMAGE);
  // The images of the node are looked through every five minutes.
  await rig.advance(301_000);
  rig.runtime.addImage(IMAGE);
  await rig.createPod(never, 'stranger');
  expect(phaseOf('stranger')).toBe('Running');
  await rig.restart();
  await rig.createPod(never, 'another');
  expect(phaseOf('another')).toBe('Running');
});
