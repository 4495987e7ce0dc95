import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Pod, type ResourceClaim, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { whyNoCdi } from './cdi-support.ts';
import { type ClaimRecord, cdiIdsOf } from './claim-record.ts';
import type { DraDriver, DraDrivers, HealthReport } from './dra-driver.ts';

const DRIVER = 'gpu.example.com';

/** A driver that notes what it is asked, and drivers that can be told to come and go. */
class FakeDrivers implements DraDrivers {
  readonly asked: string[] = [];
  error = '';
  readonly #listeners: ((driver: string, isThere: boolean) => void)[] = [];
  #isThere = true;
  readonly #driver: DraDriver = {
    name: DRIVER,
    prepare: async (claims) => {
      this.asked.push(...claims.map(({ name }) => `prepare ${name}`));
      const devices = [{ requestNames: ['gpu'], pool: 'node-1', device: 'gpu-0', cdiIds: ['example.com/gpu=gpu-0'] }];
      return new Map(claims.map(({ uid }) => [uid, { devices, error: this.error }]));
    },
    unprepare: async (claims) => {
      this.asked.push(...claims.map(({ name }) => `unprepare ${name}`));
      return new Map(claims.map(({ uid }) => [uid, { error: this.error }]));
    },
  };

  find = (name: string) => (this.#isThere && name === DRIVER ? this.#driver : undefined);
  names = () => (this.#isThere ? [DRIVER] : []);
  onChange(listener: (driver: string, isThere: boolean) => void): void {
    this.#listeners.push(listener);
  }
  say: (driver: string, reports: readonly HealthReport[] | undefined) => void = () => undefined;
  onHealth(listener: typeof this.say): void {
    this.say = listener;
  }
  set isThere(isThere: boolean) {
    this.#isThere = isThere;
    for (const listener of this.#listeners) listener(DRIVER, isThere);
  }
}

let rig: KubeletRig;
let drivers: FakeDrivers;

beforeEach(async () => {
  drivers = new FakeDrivers();
  rig = new KubeletRig({}, { draDrivers: drivers });
  await rig.start();
});
afterEach(() => rig.stop());

const claims = () => rig.client.resource<ResourceClaim>(resources.resourceClaims);
const SPEC = {
  resourceClaims: [{ name: 'card', resourceClaimName: 'shared' }],
  containers: [
    { name: 'app', image: TEST_IMAGE, resources: { claims: [{ name: 'card', request: 'gpu' }] } },
    { name: 'beside', image: TEST_IMAGE },
  ],
};
const result = { driver: DRIVER, pool: 'node-1', device: 'gpu-0', request: 'gpu' };

async function createClaim(): Promise<void> {
  await claims().create({ metadata: { name: 'shared', namespace: 'default' }, spec: { devices: {} } });
}

/** As the scheduler does it. */
async function reserve(...pods: readonly { readonly metadata: { readonly name: string; readonly uid: string } }[]) {
  const claim = await claims().fetch('shared', 'default');
  const reservedFor = pods.map(({ metadata: { name, uid } }) => ({ resource: 'pods', name, uid }));
  await claims().update(
    { ...claim, status: { allocation: { devices: { results: [result] } }, reservedFor } },
    'status',
  );
}

const cdiOf = (name: string) => rig.runtime.containers.get(rig.runtime.findContainer(name)!.id)?.config.cdiDevices;

describe('a pod with a claim', () => {
  test('waits for its reservation, says why, and starts with the devices of the request', async () => {
    await createClaim();
    const pod = await rig.createPod(SPEC);
    expect(await rig.eventTextsInTheEnd()).toContain(
      `FailedPrepareDynamicResources: Failed to prepare dynamic resources: prepare dynamic resources: pod web (${pod.metadata.uid}) is not allowed to use ResourceClaim shared (${(await claims().fetch('shared', 'default')).metadata.uid})`,
    );
    expect(drivers.asked).toEqual([]);
    await reserve(pod);
    await rig.advance(10_000);
    expect(drivers.asked).toEqual(['prepare shared']);
    expect([cdiOf('app'), cdiOf('beside')]).toEqual([['example.com/gpu=gpu-0'], undefined]);
    const [listed] = rig.kubelet.podResources.list();
    expect(listed?.containers.map((one) => one.claims)).toMatchObject([
      [{ claim: 'shared', namespace: 'default', devices: [{ driver: DRIVER, device: 'gpu-0' }] }],
      [],
    ]);
  });

  test('that was made for its extended resources: the container that asks for them has its devices', async () => {
    await createClaim();
    const claim = await claims().fetch('shared', 'default');
    const pods = rig.client.resource<Pod>(resources.pods);
    const mapping = { containerName: 'beside', resourceName: 'example.com/gpu', requestName: 'gpu' };
    const pod = await pods.create({
      metadata: { name: 'web', namespace: 'default' },
      spec: { nodeName: 'node-1', containers: SPEC.containers.map(({ name, image }) => ({ name, image })) },
      status: { extendedResourceClaimStatus: { resourceClaimName: 'shared', requestMappings: [mapping] } },
    } as never);
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'web', uid: pod.metadata.uid, controller: true };
    await claims().update({ ...claim, metadata: { ...claim.metadata, ownerReferences: [owner] } });
    await reserve(pod);
    await rig.advance(10_000);
    expect([cdiOf('app'), cdiOf('beside')]).toEqual([undefined, ['example.com/gpu=gpu-0']]);
  });

  test('is told which driver is missing, and nothing is owed to it', async () => {
    drivers.isThere = false;
    await createClaim();
    const pod = await rig.createPod(SPEC);
    await reserve(pod);
    await rig.advance(10_000);
    expect(await rig.eventTextsInTheEnd()).toContain(
      `FailedPrepareDynamicResources: Failed to prepare dynamic resources: prepare dynamic resources: DRA driver ${DRIVER} is not registered`,
    );
    await rig.client.resource(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 0 });
    await rig.settle();
    expect(rig.keys(resources.pods)).toEqual([]);
  });

  test('has its claim prepared once, whatever restarts, and taken back when the last pod has ended', async () => {
    await createClaim();
    const pods = [await rig.createPod(SPEC, 'web'), await rig.createPod(SPEC, 'other')];
    await reserve(...pods);
    await rig.advance(10_000);
    await rig.restart();
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.advance(30_000);
    expect(drivers.asked).toEqual(['prepare shared']);
    const end = async (name: string) => {
      await rig.client.resource(resources.pods).delete({ name, namespace: 'default', gracePeriodSeconds: 1 });
      await rig.advance(5_000);
    };
    await end('web');
    expect(drivers.asked).toEqual(['prepare shared']);
    drivers.isThere = false;
    await end('other');
    expect(rig.keys(resources.pods)).toEqual(['default/other']);
    drivers.isThere = true;
    await rig.advance(10_000);
    expect(drivers.asked).toEqual(['prepare shared', 'unprepare shared']);
    expect(rig.keys(resources.pods)).toEqual([]);
  });

  test('is prepared anew after a boot, which took what drivers had told the runtime', async () => {
    await createClaim();
    await reserve(await rig.createPod(SPEC));
    await rig.advance(10_000);
    await rig.powerCut();
    await rig.restart();
    await rig.advance(30_000);
    expect(drivers.asked).toEqual(['prepare shared', 'prepare shared']);
  });

  test('is prepared anew when what was known of it is damaged: no container starts without its devices', async () => {
    await createClaim();
    await reserve(await rig.createPod(SPEC));
    await rig.advance(10_000);
    await rig.restart(() => rig.host.fs.write('/var/lib/coracle/agent/ledger/../claims.json', '{"version":', 0o600));
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.advance(30_000);
    expect(drivers.asked).toEqual(['prepare shared', 'prepare shared']);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
    expect(cdiOf('app')).toEqual(['example.com/gpu=gpu-0']);
  });

  test('a driver that refuses is asked again, with its own words in the event', async () => {
    drivers.error = 'no such card';
    await createClaim();
    await reserve(await rig.createPod(SPEC));
    await rig.advance(10_000);
    expect((await rig.eventTextsInTheEnd()).join('\n')).toContain(
      'NodePrepareResources failed for ResourceClaim shared: no such card',
    );
    drivers.error = '';
    await rig.advance(10_000);
    expect(rig.containerStatus()).toMatchObject({ state: { running: {} } });
  });
});

describe('the health of devices', () => {
  const report = (health: HealthReport['health'], message = '', timeoutMs = 0): HealthReport[] => [
    { pool: 'node-1', device: 'gpu-0', health, message, timeoutMs },
  ];
  const shown = (container = 'app') => rig.containerStatus(container)?.allocatedResourcesStatus;
  const health = (): string => {
    const [one] = shown()?.[0]?.resources ?? [];
    return [one?.health, one?.message].filter(Boolean).join(': ');
  };

  beforeEach(async () => {
    await createClaim();
    await reserve(await rig.createPod(SPEC));
    await rig.advance(10_000);
  });

  test('is in the status of the containers that have them, as long as the word of the driver holds', async () => {
    expect(shown()).toEqual([
      { name: 'claim:card/gpu', resources: [{ resourceID: 'example.com/gpu=gpu-0', health: 'Unknown' }] },
    ]);
    expect(shown('beside')).toBeUndefined();
    const steps: [reports: HealthReport[] | undefined, afterMs: number, expected: string][] = [
      [report('Healthy'), 29_000, 'Healthy'],
      [report('Unhealthy', 'too hot'), 0, 'Unhealthy: too hot'],
      [report('Unhealthy', 'on fire'), 0, 'Unhealthy: on fire'],
      [[], 29_000, 'Unhealthy: on fire'],
      [[], 2_000, 'Unknown'],
      [report('Healthy', '', 120_000), 100_000, 'Healthy'],
      [undefined, 0, 'Unknown'],
      [report('Healthy'), 31_000, 'Unknown'],
      [report('Unhealthy', 'x'.repeat(2000)), 0, `Unhealthy: ${'x'.repeat(1021)}...`],
    ];
    for (const [reports, afterMs, expected] of steps) {
      drivers.say(DRIVER, reports);
      await rig.advance(afterMs);
      expect(health()).toBe(expected);
    }
  });

  test('what other drivers say, and what is said again, changes nothing', async () => {
    drivers.say(DRIVER, report('Healthy'));
    await rig.settle();
    const { resourceVersion } = rig.pod()?.metadata ?? {};
    drivers.say('other.example.com', report('Unhealthy'));
    drivers.say(DRIVER, report('Healthy'));
    await rig.settle();
    expect(rig.pod()?.metadata.resourceVersion).toBe(resourceVersion);
  });
});

test('what a driver offered goes when it does not come back in time', async () => {
  const slices = rig.client.resource<ResourceSlice>(resources.resourceSlices);
  const create = (name: string, driver: string, nodeName: string) =>
    slices.create({
      metadata: { name },
      spec: { driver, nodeName, pool: { name, generation: 1, resourceSliceCount: 1 } },
    });
  await create('left-behind', 'gone.example.com', 'node-1');
  await create('mine', DRIVER, 'node-1');
  await create('elsewhere', DRIVER, 'node-2');
  await rig.advance(30_000);
  expect(rig.keys(resources.resourceSlices)).toEqual(['mine', 'elsewhere']);
  drivers.isThere = false;
  await rig.advance(20_000);
  drivers.isThere = true;
  await rig.advance(30_000);
  expect(rig.keys(resources.resourceSlices)).toEqual(['mine', 'elsewhere']);
  drivers.isThere = false;
  await rig.advance(30_000);
  expect(rig.keys(resources.resourceSlices)).toEqual(['elsewhere']);
});

test('a container gets the devices of the request that it names, of whichever alternative', () => {
  const device = (requestNames: string[], id: string) => ({ requestNames, pool: 'p', device: id, cdiIds: [id] });
  const record: ClaimRecord = {
    ...{ uid: 'u', namespace: 'n', name: 'c', pods: { pod: ['card'] }, preparedInBoot: 'b' },
    drivers: { d: [device(['a/big'], 'a'), device(['b'], 'b'), device([], 'all')] },
  };
  const ids = (request?: string) => cdiIdsOf([record], 'pod', [{ name: 'card', request }]);
  expect([ids('a'), ids('a/big'), ids('b'), ids()]).toEqual([
    ['a', 'all'],
    ['a', 'all'],
    ['b', 'all'],
    ['a', 'b', 'all'],
  ]);
  expect(cdiIdsOf([record], 'pod', [{ name: 'other' }])).toEqual([]);
});

test.each([
  ['containerd', '1.6.20~ds1', false],
  ['containerd', 'v1.7.24', true],
  ['containerd', '2.1.9', true],
  ['cri-o', '1.30.0', true],
])('%s %s knows CDI devices: %s', (name, version, knows) => {
  expect(whyNoCdi({ name, version }) === undefined).toBe(knows);
});
