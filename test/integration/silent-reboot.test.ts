import { afterEach, expect, test } from 'vitest';
import { KubeletRig, TEST_IMAGE } from '#agent/kubelet/testing/kubelet-rig.ts';
import { type ConfigMap, type Pod, resources, type Secret } from '#api/object/kinds.ts';

let rig: KubeletRig;
afterEach(() => rig?.stop());

const HOUR_MS = 3_600_000;
const STEP_MS = 15 * 60_000;

const controller = (kind: string) => ({
  ownerReferences: [{ apiVersion: 'apps/v1', kind, name: 'owner', uid: 'owner-1', controller: true }],
});
const allowed = { annotations: { 'coracle.dev/boot-offline': 'allow' } };
const pods = () => rig.client.resource<Pod>(resources.pods);

async function create(name: string, spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: object = {}) {
  const containers = [{ name: 'app', image: TEST_IMAGE }];
  const made = await pods().create({
    metadata: { name, namespace: 'default', ...metadata },
    spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 5, containers, ...spec },
    status: { phase: 'Pending' },
  });
  await rig.settle();
  return made.metadata.uid;
}

/** Every quarter of an hour the pod's container crashes; answers how often. */
async function crashFor(uid: string, hours: number): Promise<number> {
  let crashes = 0;
  for (let passedMs = 0; passedMs < hours * HOUR_MS; passedMs += STEP_MS) {
    const found = rig.runtime.findContainer('app', uid);
    if (found?.state === 'RUNNING') {
      rig.runtime.exitContainer(found.id, 1);
      crashes++;
    }
    await rig.advance(STEP_MS);
  }
  return crashes;
}

const runningNow = () =>
  [...rig.runtime.sandboxes.values()]
    .filter(
      ({ id, ready }) =>
        ready &&
        [...rig.runtime.containers.values()].some(
          ({ status }) => status.sandboxId === id && status.state === 'RUNNING',
        ),
    )
    .map(({ config }) => config.identity.name)
    .sort();

/** `long-silence.test.ts` has the whole day; here it is cut in two. */
test('the host reboots while the API is away: who may run comes back with all it had, and is the same pod afterwards', async () => {
  rig = new KubeletRig();
  await rig.start();
  const named = (name: string) => ({ metadata: { name, namespace: 'default' } });
  await rig.client
    .resource<ConfigMap>(resources.configMaps)
    .create({ ...named('settings'), data: { colour: 'green' } });
  await rig.client.resource<Secret>(resources.secrets).create({ ...named('keys'), data: { word: 'aHVzaA==' } });
  const volumes = [
    { name: 'settings', configMap: { name: 'settings' } },
    { name: 'keys', secret: { secretName: 'keys' } },
  ];
  const web = await create('web', { volumes }, controller('ReplicaSet'));
  const uids = new Map([['web', web]]);
  uids.set('member', await create('member', {}, controller('StatefulSet')));
  uids.set('allowed', await create('allowed', {}, { ...controller('StatefulSet'), ...allowed }));
  uids.set('once', await create('once', { restartPolicy: 'Never' }));
  uids.set('done', await create('done', { restartPolicy: 'Never' }));
  uids.set('leaving', await create('leaving', { terminationGracePeriodSeconds: 3600 }));
  // Copies follow soon.
  await rig.advance(70_000);
  rig.runtime.exitContainer(rig.runtime.findContainer('app', uids.get('done'))!.id, 0);
  // Its process takes as long as it may.
  const stop = rig.runtime.stopContainer.bind(rig.runtime);
  rig.runtime.stopContainer = () => new Promise(() => undefined);
  await pods().delete({ name: 'leaving', namespace: 'default', gracePeriodSeconds: 3600 });
  await rig.advance(10_000);
  expect(runningNow()).toEqual(['allowed', 'leaving', 'member', 'once', 'web']);

  rig.isApiDown = true;
  const early = await crashFor(web, 1);
  await rig.powerCut();
  rig.runtime.stopContainer = stop;
  rig.startOffline();
  for (let second = 0; second < 60; second++) await rig.advance(1000);
  expect(runningNow()).toEqual(['allowed', 'web']);
  const { fs } = rig.host;
  const files = [
    `/var/lib/kubelet/pods/${web}/volumes/kubernetes.io~configmap/settings/colour`,
    `/run/coracle/pods/memory/${web}/kubernetes.io~secret/keys/word`,
  ];
  expect(await Promise.all(files.map((file) => fs.readText(file)))).toEqual(['green', 'hush']);
  for (const copy of await fs.list('/var/lib/coracle/agent/copies'))
    expect(await fs.readText(`/var/lib/coracle/agent/copies/${copy}`)).not.toMatch(/green|hush|aHVzaA/);
  const late = await crashFor(web, 1);
  expect([early, late]).toEqual([4, 4]);
  expect(runningNow()).toEqual(['allowed', 'web']);

  rig.isApiDown = false;
  await rig.advance(10 * 60_000);
  expect(runningNow()).toEqual(['allowed', 'member', 'web']);
  for (const name of ['web', 'member', 'allowed', 'once', 'done'])
    expect([name, rig.pod(name)?.metadata.uid]).toEqual([name, uids.get(name)]);
  expect(rig.pod('leaving')).toBeUndefined();
  const restarts = (name: string) => rig.containerStatus('app', name)?.restartCount;
  // Each crash, and the reboot.
  expect(['web', 'member', 'allowed', 'once', 'done'].map(restarts)).toEqual([early + late + 1, 1, 1, 0, 0]);
  expect(['once', 'done'].map((name) => rig.pod(name)?.status?.phase)).toEqual(['Failed', 'Succeeded']);
}, 300_000);
