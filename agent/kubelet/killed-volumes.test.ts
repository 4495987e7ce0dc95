import { afterEach, describe, expect, test } from 'vitest';
import { type ConfigMap, type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { type Death, dieAt } from './testing/killed-agent.ts';
import { KubeletRig } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig?.stop());

const VOLATILE = '/run/coracle/pods/memory';
const PODS = '/var/lib/kubelet/pods';
const SPEC = {
  terminationGracePeriodSeconds: 5,
  volumes: [
    { name: 'disk', emptyDir: {} },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'settings', configMap: { name: 'settings' } },
    { name: 'keys', secret: { secretName: 'keys' } },
  ],
};

async function start(): Promise<void> {
  rig = new KubeletRig();
  await rig.start();
  const named = (name: string) => ({ metadata: { name, namespace: 'default' } });
  await rig.client.resource<ConfigMap>(resources.configMaps).create({ ...named('settings'), data: { a: '1' } });
  await rig.client.resource<Secret>(resources.secrets).create({ ...named('keys'), data: { b: 'Mg==' } });
}

const bringUp = async () => {
  await rig.createPod(SPEC);
  await rig.advance(1000);
};
const remove = async () => {
  await rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 5 });
  await rig.settle();
};

/** At the nth change of what volumes are made of. */
function dieAtVolume(step: number, death: Death, act: () => Promise<void>): Promise<string | undefined> {
  const isStep = (args: readonly unknown[]) =>
    args.some((one) => String(one).startsWith(PODS) || String(one).startsWith(VOLATILE));
  const { fs, mounts } = rig.host;
  const watched = [
    { owner: fs, methods: ['makeDirectory', 'rename', 'symlink', 'remove', 'write'], isStep },
    { owner: mounts, methods: ['mountTmpfs', 'unmount'], isStep },
  ];
  return dieAt({ rig, watched, step, death }, act);
}

/** What is done late differs in nothing here from what was done at once: a pod makes and takes down its volumes in turn. */
const DEATHS = ['before', 'after', 'overtaken, undone'] as const;

describe.each(DEATHS)('an agent that is killed (%s) at a step of volumes', (death) => {
  test('on the way up: they are whole afterwards', { timeout: 120_000 }, async () => {
    const steps: string[] = [];
    for (let step = 1; ; step++) {
      await start();
      const died = await dieAtVolume(step, death, bringUp);
      // Longer than a step that failed waits.
      await rig.advance(20_000);
      expect([step, rig.condition('Ready')?.status]).toEqual([step, 'True']);
      const uid = rig.pod()?.metadata.uid;
      const { fs, mounts } = rig.host;
      const files = [
        `${PODS}/${uid}/volumes/kubernetes.io~configmap/settings/a`,
        `${VOLATILE}/${uid}/kubernetes.io~secret/keys/b`,
      ];
      expect(await Promise.all(files.map((file) => fs.readText(file)))).toEqual(['1', '2']);
      const folder = `${PODS}/${uid}/volumes/kubernetes.io~empty-dir`;
      expect([step, ...(await fs.list(folder))]).toEqual([step, 'disk', 'memory']);
      expect(mounts.points.map(({ path }) => path)).toEqual([VOLATILE, `${folder}/memory`]);
      expect(rig.runtime.callsOf('startContainer')).toHaveLength(1);
      rig.stop();
      if (died === undefined) break;
      steps.push(died);
      expect(step).toBeLessThan(100);
    }
    expect(steps).toEqual(expect.arrayContaining(['makeDirectory', 'rename', 'symlink', 'write', 'mountTmpfs']));
  });

  test('on the way down: nothing is left', { timeout: 120_000 }, async () => {
    const steps: string[] = [];
    for (let step = 1; ; step++) {
      await start();
      await bringUp();
      const died = await dieAtVolume(step, death, remove);
      await rig.advance(30_000);
      expect([step, rig.pod()]).toEqual([step, undefined]);
      const left = [
        ...rig.host.mounts.points.filter(({ path }) => path !== VOLATILE),
        ...(await rig.host.fs.list(PODS)),
        ...(await rig.host.fs.list(VOLATILE)),
      ];
      expect([step, ...left]).toEqual([step]);
      rig.stop();
      if (died === undefined) break;
      steps.push(died);
      expect(step).toBeLessThan(100);
    }
    expect(steps).toEqual(expect.arrayContaining(['unmount', 'remove']));
  });
});
