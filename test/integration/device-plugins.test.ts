import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { fromJSON, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { podResourcesSource } from '#agent/kubelet/devices/pod-resources.ts';
import type { LedgerRecord } from '#agent/kubelet/ledger-record.ts';
import { createDevicePlugins, type DevicePluginServer } from '#agent/plugins/device-plugins.ts';
import { connectPlugin } from '#agent/plugins/plugin-client.ts';
import { runPluginWatcher } from '#agent/plugins/plugin-watcher.ts';
import { servePodResources } from '#agent/plugins/pod-resources-server.ts';
import type { Pod } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import descriptor from '../../protos/device-plugin-v1beta1.json' with { type: 'json' };
import registrar from '../../protos/plugin-registration-v1.json' with { type: 'json' };
import podResourcesDescriptor from '../../protos/pod-resources-v1.json' with { type: 'json' };

const registrarServices = fromJSON(registrar as Parameters<typeof fromJSON>[0], { keepCase: true, defaults: true });
const resourceServices = fromJSON(podResourcesDescriptor as Parameters<typeof fromJSON>[0], {
  longs: Number,
  keepCase: true,
  defaults: true,
});
const services = fromJSON(descriptor as Parameters<typeof fromJSON>[0], { keepCase: true, defaults: true });
const RESOURCE = 'example.com/thing';

let folder: string;
let stop: AbortController;
let plugins: DevicePluginServer;
const ends: (() => void)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coracle-plugins-'));
  stop = new AbortController();
  plugins = createDevicePlugins({ folder, fs: createLinuxHost().fs, log: silentLogger });
  await plugins.start(stop.signal);
});
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  stop.abort();
  await rm(folder, { recursive: true, force: true });
});

type Devices = readonly { readonly ID: string; readonly health: string }[];

/** A plug-in of somebody's, over its own socket. */
async function startPlugin(endpoint: string, first: Devices) {
  const server = new Server();
  let tell: (devices: Devices) => void = () => undefined;
  const allocated: string[][] = [];
  server.addService(services['v1beta1.DevicePlugin'] as ServiceDefinition, {
    GetDevicePluginOptions: (_call: object, done: (e: null, a: object) => void) => done(null, {}),
    ListAndWatch(stream: ServerWritableStream<object, object>) {
      tell = (devices) => void stream.write({ devices });
      tell(first);
    },
    Allocate(
      { request }: { request: { container_requests: { devices_ids: string[] }[] } },
      done: (e: null, a: object) => void,
    ) {
      allocated.push(...request.container_requests.map(({ devices_ids }) => devices_ids));
      const devices = [{ container_path: '/dev/thing', host_path: '/dev/null', permissions: 'rw' }];
      const mounts = [{ container_path: '/lib/thing', host_path: '/opt/thing', read_only: true }];
      done(null, {
        container_responses: [{ envs: { THING: '1' }, devices, mounts, cdi_devices: [{ name: 'a/b=c' }] }],
      });
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${folder}/${endpoint}`, ServerCredentials.createInsecure(), (err) =>
      err ? reject(err) : resolve(),
    ),
  );
  ends.push(() => server.forceShutdown());
  return { tell: (devices: Devices) => tell(devices), allocated, end: () => server.forceShutdown() };
}

function register(request: object): Promise<object> {
  const client = new Client(`unix://${folder}/kubelet.sock`, credentials.createInsecure());
  ends.push(() => client.close());
  const { path, requestSerialize, responseDeserialize } = (services['v1beta1.Registration'] as ServiceDefinition)
    .Register as MethodDefinition<object, object>;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (err, answer) =>
      err ? reject(err) : resolve(answer as object),
    );
  });
}

const ids = () => plugins.resources().get(RESOURCE);
const health = (...of: string[]) => of.map((id) => plugins.health(RESOURCE, id));

test('a plug-in registers, tells its devices, and says what a container is given', async () => {
  const plugin = await startPlugin('thing.sock', [
    { ID: 'b', health: 'Healthy' },
    { ID: 'a', health: 'Healthy' },
    { ID: 'sick', health: 'Unhealthy' },
  ]);
  const changed: string[] = [];
  plugins.onHealth((resource) => changed.push(resource));
  await register({ version: 'v1beta1', endpoint: 'thing.sock', resource_name: RESOURCE });
  await expect.poll(ids).toEqual(['a', 'b']);
  expect(health('a', 'sick', 'never-seen')).toEqual(['Healthy', 'Unhealthy', 'Unknown']);
  expect(changed).toEqual([RESOURCE]);
  plugin.tell([{ ID: 'a', health: 'Healthy' }]);
  await expect.poll(ids).toEqual(['a']);
  expect(await plugins.allocate(RESOURCE, ['a'])).toEqual({
    devices: [{ containerPath: '/dev/thing', hostPath: '/dev/null', permissions: 'rw' }],
    mounts: [{ containerPath: '/lib/thing', hostPath: '/opt/thing', readOnly: true }],
    env: { THING: '1' },
    annotations: {},
    cdiDevices: ['a/b=c'],
  });
  expect(plugin.allocated).toEqual([['a']]);
  plugin.end();
  await expect.poll(ids).toEqual([]);
  expect(health('a', 'b')).toEqual(['Unhealthy', 'Unknown']);
});

test.each([
  [{ version: 'v1alpha', endpoint: 'x.sock', resource_name: RESOURCE }, 'is not supported by kubelet'],
  [{ version: 'v1beta1', endpoint: 'x.sock', resource_name: 'kubernetes.io/x' }, 'is invalid'],
  [{ version: 'v1beta1', endpoint: '../x.sock', resource_name: RESOURCE }, 'is not the name of a socket'],
])('a registration is refused: %o', async (request, message) => {
  await expect(register(request)).rejects.toThrow(message);
});

test('a plug-in that is found in the folder of plug-ins is asked who it is', async () => {
  await startPlugin('found.sock', [{ ID: 'a', health: 'Healthy' }]);
  const stop = new AbortController();
  ends.push(() => stop.abort());
  const told: object[] = [];
  const registrar = new Server();
  registrar.addService(registrarServices['pluginregistration.Registration'] as ServiceDefinition, {
    GetInfo: (_call: object, done: (e: null, a: object) => void) =>
      done(null, {
        type: 'DevicePlugin',
        name: RESOURCE,
        endpoint: `${folder}/found.sock`,
        supported_versions: ['v1beta1'],
      }),
    NotifyRegistrationStatus({ request }: { request: object }, done: (e: null, a: object) => void) {
      told.push(request);
      done(null, {});
    },
  });
  const registry = `${folder}/registry`;
  await mkdir(registry);
  await new Promise<void>((resolve, reject) =>
    registrar.bindAsync(`unix://${registry}/found-reg.sock`, ServerCredentials.createInsecure(), (err) =>
      err ? reject(err) : resolve(),
    ),
  );
  ends.push(() => registrar.forceShutdown());
  const { fs } = createLinuxHost();
  const kinds = { DevicePlugin: plugins };
  void runPluginWatcher({ folder: registry, fs, clock: systemClock, log: silentLogger, kinds }, stop.signal);
  await expect.poll(ids).toEqual(['a']);
  await expect.poll(() => told).toEqual([{ plugin_registered: true, error: '' }]);
  // Its socket is gone, and with it the plug-in.
  registrar.forceShutdown();
  await rm(`${registry}/found-reg.sock`, { force: true });
  await expect.poll(ids, { timeout: 60_000 }).toEqual([]);
});

test('monitoring agents are told which pod has which devices', async () => {
  const stop = new AbortController();
  ends.push(() => stop.abort());
  const pod = {
    metadata: { name: 'web', namespace: 'shop', uid: 'u' },
    spec: { initContainers: [{ name: 'init' }], containers: [{ name: 'app' }] },
  } as unknown as Pod;
  const device = { requestNames: [], pool: 'p', device: 'd', cdiIds: ['v/c=d'], driver: 'x.test' };
  const claimed = { claim: 'card', namespace: 'shop', devices: [device] };
  const source = podResourcesSource({
    pods: () => [pod],
    record: () =>
      ({ devices: { app: { [RESOURCE]: { b: [], a: [] } } }, cpus: { app: '2-3' } }) as unknown as LedgerRecord,
    devices: () => [{ resource: RESOURCE, ids: ['a', 'b', 'c'] }],
    cpus: () => [1, 2, 3],
    claims: { devices: () => [claimed] },
  });
  await servePodResources({ folder: `${folder}/pod-resources`, fs: createLinuxHost().fs, source }, stop.signal);
  const service = resourceServices['v1.PodResourcesLister'] as ServiceDefinition;
  const connection = connectPlugin(`${folder}/pod-resources/kubelet.sock`, service, 5000);
  ends.push(() => connection.close());
  const devices = [{ resource_name: RESOURCE, device_ids: ['a', 'b'] }];
  const claim_resources = [
    { cdi_devices: [{ name: 'v/c=d' }], driver_name: 'x.test', pool_name: 'p', device_name: 'd' },
  ];
  const dynamic_resources = [{ claim_name: 'card', claim_namespace: 'shop', claim_resources }];
  const told = {
    name: 'web',
    namespace: 'shop',
    containers: [{ name: 'app', devices, cpu_ids: [2, 3], dynamic_resources }],
  };
  expect(await connection.call('List', {})).toEqual({ pod_resources: [told] });
  expect(await connection.call('Get', { pod_name: 'web', pod_namespace: 'shop' })).toEqual({ pod_resources: told });
  await expect(connection.call('Get', { pod_name: 'web', pod_namespace: 'x' })).rejects.toThrow(
    'pod web in namespace x not found',
  );
  expect(await connection.call('GetAllocatableResources', {})).toEqual({
    devices: [{ resource_name: RESOURCE, device_ids: ['a', 'b', 'c'] }],
    cpu_ids: [1, 2, 3],
  });
});
