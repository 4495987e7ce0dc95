import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoCdi } from '#agent/kubelet/claims/cdi-support.ts';
import type { Node, Pod, ResourceClaim } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { startDraDriver, type TestDraDriver } from '#test/kit/dra-driver.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e dynamic resources skipped: ${problem}`);

const WAIT_MS = 180_000;
/** Some dozens of calls and five pods, on a machine that others may keep busy. */
const TEST_MS = 900_000;
const DRIVER = 'card.coracle.test';
/** Where the runtime looks for what drivers have made ready; shared by all runtimes of the host. */
const CDI_FILE = `/var/run/cdi/coracle-test-${process.pid}.json`;
const KIND = `coracle-${process.pid}.test/card`;

describe.skipIf(problem !== undefined)('devices of claims', () => {
  let cluster: TestCluster;
  let driver: TestDraDriver | undefined;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (...items: object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const read = async <T>(what: string) => JSON.parse(await ok('get', ...what.split(' '), '-o', 'json')) as T;
  const claims = async () => (await read<{ items: ResourceClaim[] }>('resourceclaims')).items;
  const events = (name: string) =>
    ok('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'jsonpath={.items[*].message}');

  const resource = (kind: string, name: string, spec: object) => ({
    ...{ apiVersion: 'resource.k8s.io/v1', kind, metadata: { name } },
    spec,
  });
  const device = (name: string, memory: string) => ({
    ...{ name, attributes: { model: { string: 'x' } } },
    capacity: { memory: { value: memory } },
  });
  const cards = (generation: number, ...devices: readonly object[]) =>
    resource('ResourceSlice', 'cards', {
      ...{ driver: DRIVER, nodeName: 'node-0', devices },
      pool: { name: 'node-0', generation, resourceSliceCount: 1 },
    });
  const pod = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      resourceClaims: [{ name: 'card', resourceClaimTemplateName: 'big-card' }],
      containers: [
        {
          ...{ name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', '600'] },
          resources: { claims: [{ name: 'card', request: 'one' }] },
        },
      ],
    },
  });

  /** Tells the runtime of the device that the scheduler gave the claim. */
  async function prepare({ name }: { readonly name: string }) {
    const claim = await read<ResourceClaim>(`resourceclaim ${name}`);
    const [{ device, request } = { device: '', request: '' }] = claim.status?.allocation?.devices?.results ?? [];
    const env = [`CARD=${device}`];
    const spec = { cdiVersion: '0.5.0', kind: KIND, devices: [{ name: device, containerEdits: { env } }] };
    await mkdir('/var/run/cdi', { recursive: true });
    await writeFile(CDI_FILE, JSON.stringify(spec));
    return [
      { request_names: [request], pool_name: 'node-0', device_name: device, cdi_device_ids: [`${KIND}=${device}`] },
    ];
  }

  beforeAll(async () => {
    cluster = await startCluster({ name: 'dra', nodes: 1 });
    const bigEnough = `device.capacity["${DRIVER}"].memory.compareTo(quantity("8Gi")) >= 0`;
    await apply(
      resource('DeviceClass', 'card', { selectors: [{ cel: { expression: `device.driver == "${DRIVER}"` } }] }),
      cards(1, device('small', '4Gi'), device('big', '16Gi')),
      resource('ResourceClaimTemplate', 'big-card', {
        spec: {
          devices: {
            requests: [
              {
                name: 'one',
                exactly: { deviceClassName: 'card', selectors: [{ cel: { expression: bigEnough } }] },
              },
            ],
          },
        },
      }),
    );
  }, 240_000);
  afterAll(async () => {
    await driver?.stop();
    await rm(CDI_FILE, { force: true });
    await cluster?.destroy();
  });

  it(
    'are given to a pod from its template to its container, and to the next one after it, until they break',
    async () => {
      await apply(pod('first'));
      await waitUntil('the word that the driver is missing', WAIT_MS, async () =>
        (await events('first')).includes(
          `Failed to prepare dynamic resources: prepare dynamic resources: DRA driver ${DRIVER} is not registered`,
        ),
      );
      await apply(pod('second'));
      const waiting = '0/1 nodes are available: 1 cannot allocate all claims.';
      await waitUntil('the wait of the second', WAIT_MS, async () => (await events('second')).includes(waiting));

      const kubelet = join(cluster.agents[0]!.folder, 'kubelet');
      driver = await startDraDriver({ kubelet, name: DRIVER, tellsHealth: true, prepare });
      const claim = (await claims()).find(({ metadata }) => metadata.name.startsWith('first-card-'))!;
      expect(claim.status).toMatchObject({
        allocation: { devices: { results: [{ request: 'one', driver: DRIVER, pool: 'node-0', device: 'big' }] } },
        reservedFor: [{ resource: 'pods', name: 'first' }],
      });
      await expectDevice('first');

      await ok('delete', 'pod', 'first', '--wait', '--timeout=150s');
      await expectDevice('second');
      const second = (await read<Pod>('pod second')).status?.resourceClaimStatuses?.[0]?.resourceClaimName;
      expect(driver.asked.filter((one, index, all) => all.indexOf(one) === index)).toEqual([
        `prepare ${claim.metadata.name}`,
        `unprepare ${claim.metadata.name}`,
        `prepare ${second}`,
      ]);
      driver.tellHealth([
        { device: { pool_name: 'node-0', device_name: 'big' }, health: 'UNHEALTHY', message: 'too hot' },
      ]);
      const health = async () =>
        (await read<Pod>('pod second')).status?.containerStatuses?.[0]?.allocatedResourcesStatus;
      const isSaid = async () => JSON.stringify(await health())?.includes('too hot') === true;
      await waitUntil('the health of the device in the status of the pod', WAIT_MS, isSaid);
      expect(await health()).toEqual([
        { name: 'claim:card/one', resources: [{ resourceID: `${KIND}=big`, health: 'Unhealthy', message: 'too hot' }] },
      ]);

      // Its driver takes it out of service: who uses it goes, and who comes does not get it.
      const taints = [{ key: 'broken', effect: 'NoExecute' }];
      await apply(cards(2, { ...device('big', '16Gi'), taints }, device('small', '4Gi')));
      await ok('wait', '--for=delete', 'pod/second', '--timeout=150s');
      expect(await events('second')).toContain('Marking for deletion');
      await apply(pod('third'));
      await waitUntil('the wait of the third', WAIT_MS, async () => (await events('third')).includes(waiting));
      await apply(cards(3, device('big', '16Gi')));
      await expectDevice('third');
      await ok('delete', 'pod', 'third', '--wait', '--timeout=150s');

      // Asked for by number, as of a device plug-in.
      const limits = { 'deviceclass.resource.kubernetes.io/card': '1' };
      const container = { name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', '600'], resources: { limits } };
      const counted = { terminationGracePeriodSeconds: 1, containers: [container] };
      await apply({ ...pod('fourth'), spec: counted });
      await expectDevice('fourth');
      const { status } = await read<Pod>('pod fourth');
      expect(status?.extendedResourceClaimStatus).toMatchObject({
        resourceClaimName: expect.stringMatching(/^fourth-extended-resources-/),
        requestMappings: [{ containerName: 'main', requestName: 'container-0-request-0' }],
      });
      await ok('delete', 'pod', 'fourth', '--wait', '--timeout=150s');
      await waitUntil('the end of the claims', WAIT_MS, async () => (await claims()).length === 0);
    },
    TEST_MS,
  );

  /** Where the runtime is too old for that, the pod says so. */
  async function expectDevice(name: string): Promise<void> {
    const runtime = (await read<Node>('node node-0')).status?.nodeInfo?.containerRuntimeVersion ?? '';
    const why = whyNoCdi({ name: runtime.split('://')[0] ?? '', version: runtime.split('://')[1] ?? '' });
    if (why === undefined) {
      await ok('wait', '--for=condition=Ready', `pod/${name}`, `--timeout=${WAIT_MS}ms`);
      expect(await ok('exec', name, '--', 'sh', '-c', 'echo $CARD')).toBe('big\n');
      return;
    }
    console.warn(`the device in the container is not looked at: ${why}`);
    await waitUntil('the reason', WAIT_MS, async () => (await events(name)).includes(`${why} (${KIND}=big)`));
  }
});
