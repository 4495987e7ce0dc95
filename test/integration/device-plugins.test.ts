import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { fromJSON, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { createDevicePlugins, type DevicePluginServer } from '#agent/plugins/device-plugins.ts';
import { silentLogger } from '#base/logger.ts';
import descriptor from '../../protos/device-plugin-v1beta1.json' with { type: 'json' };

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

test('a plug-in registers, tells its devices, and says what a container is given', async () => {
  const plugin = await startPlugin('thing.sock', [
    { ID: 'b', health: 'Healthy' },
    { ID: 'a', health: 'Healthy' },
    { ID: 'sick', health: 'Unhealthy' },
  ]);
  await register({ version: 'v1beta1', endpoint: 'thing.sock', resource_name: RESOURCE });
  await expect.poll(ids).toEqual(['a', 'b']);
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
});

test.each([
  [{ version: 'v1alpha', endpoint: 'x.sock', resource_name: RESOURCE }, 'is not supported by kubelet'],
  [{ version: 'v1beta1', endpoint: 'x.sock', resource_name: 'kubernetes.io/x' }, 'is invalid'],
  [{ version: 'v1beta1', endpoint: '../x.sock', resource_name: RESOURCE }, 'is not the name of a socket'],
])('a registration is refused: %o', async (request, message) => {
  await expect(register(request)).rejects.toThrow(message);
});
