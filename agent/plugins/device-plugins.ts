import {
  Client,
  credentials,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { readDescriptor } from '#api/codec/described-messages.ts';
import type { Logger } from '#base/logger.ts';
import descriptor from '../../protos/device-plugin-v1beta1.json' with { type: 'json' };
import type { FileSystem } from '../host/host.ts';
import type { DeviceHealth } from '../kubelet/devices/device-health.ts';
import type { DeviceAllocation, DevicePlugins } from '../kubelet/devices/device-plugin.ts';
import { connectPlugin } from './plugin-client.ts';
import type { PluginKind, RegisteringPlugin } from './plugin-watcher.ts';

export interface DevicePluginsOptions {
  /** `/var/lib/kubelet/device-plugins`: plug-ins look for our socket here, and put theirs beside it. */
  readonly folder: string;
  readonly fs: FileSystem;
  readonly log: Logger;
}

interface Registration {
  readonly version: string;
  readonly endpoint: string;
  readonly resource_name: string;
  readonly options: { readonly pre_start_required: boolean } | null;
}

interface WireAllocation {
  readonly envs: Record<string, string>;
  readonly annotations: Record<string, string>;
  readonly mounts: readonly { container_path: string; host_path: string; read_only: boolean }[];
  readonly devices: readonly { container_path: string; host_path: string; permissions: string }[];
  readonly cdi_devices: readonly { name: string }[];
}

interface Plugin {
  readonly client: Client;
  readonly mustPrepare: boolean;
  /** What it said last of each of its devices, by id. */
  devices: ReadonlyMap<string, DeviceHealth>;
}

const VERSION = 'v1beta1';
const SOCKET = 'kubelet.sock';
const HEALTHY = 'Healthy';
const CALL_MS = 30_000;
const RESOURCE = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

const protocol = readDescriptor(descriptor);
const registration = protocol.service('v1beta1.Registration');
const devicePlugin = protocol.service('v1beta1.DevicePlugin');

/** The kubelet's side of the device plug-in protocol. */
export interface DevicePluginServer extends DevicePlugins, PluginKind {
  /** Resolves once plug-ins can register; ends with the signal. */
  start(signal: AbortSignal): Promise<void>;
}

export function createDevicePlugins({ folder, fs, log }: DevicePluginsOptions): DevicePluginServer {
  const plugins = new Map<string, Plugin>();
  const listeners: ((resource: string) => void)[] = [];
  const note = (plugin: Plugin, resource: string, devices: Plugin['devices']) => {
    const isSame = JSON.stringify([...plugin.devices]) === JSON.stringify([...devices]);
    plugin.devices = devices;
    if (!isSame) for (const listener of listeners) listener(resource);
  };

  /** `socket` is an absolute path. */
  function add(resource: string, socket: string, mustPrepare: boolean): void {
    if (!RESOURCE.test(resource) || /(^|\.)kubernetes\.io\//.test(resource))
      throw new Error(`the ResourceName ${resource} is invalid`);
    plugins.get(resource)?.client.close();
    const client = new Client(`unix://${socket}`, credentials.createInsecure());
    const plugin: Plugin = { client, mustPrepare, devices: plugins.get(resource)?.devices ?? new Map() };
    plugins.set(resource, plugin);
    log.info('a device plug-in has registered', { resource, socket });
    follow(plugin, resource);
  }

  function register(request: Registration): void {
    const { version, endpoint, resource_name: resource, options } = request;
    if (version !== VERSION)
      throw new Error(`requested API version ${version} is not supported by kubelet. Supported version is ${VERSION}`);
    if (endpoint === '' || endpoint.includes('/'))
      throw new Error(`the endpoint ${endpoint} is not the name of a socket`);
    add(resource, `${folder}/${endpoint}`, options?.pre_start_required === true);
  }

  /** Plug-ins that come by the folder of plug-ins do not say what they want: they are asked. */
  async function introduce({ name, endpoint, versions }: RegisteringPlugin): Promise<void> {
    if (!versions.includes(VERSION))
      throw new Error(
        `requested API version ${versions.join(', ')} is not supported by kubelet. Supported version is ${VERSION}`,
      );
    const connection = connectPlugin(endpoint, devicePlugin, CALL_MS);
    try {
      const options = await connection.call<{ pre_start_required: boolean }>('GetDevicePluginOptions', {});
      add(name, endpoint, options.pre_start_required);
    } finally {
      connection.close();
    }
  }

  /** A plug-in that breaks off has no devices until it registers again, as its protocol has it. */
  function follow(plugin: Plugin, resource: string): void {
    const { path, requestSerialize, responseDeserialize } = devicePlugin.ListAndWatch as MethodDefinition<
      object,
      object
    >;
    const stream = plugin.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
    stream.on('data', ({ devices }: { devices: readonly { ID: string; health: string }[] }) => {
      const health = (text: string) => (text === HEALTHY ? HEALTHY : 'Unhealthy');
      note(plugin, resource, new Map(devices.map(({ ID, health: text }) => [ID, health(text)] as const).sort()));
    });
    const end = (err?: ServiceError) => {
      note(plugin, resource, allUnhealthy(plugin));
      if (err !== undefined && err.code !== status.CANCELLED)
        log.warn('a device plug-in is away', { resource, err: err.details });
    };
    stream.on('error', end);
    stream.on('end', () => end());
  }

  function call<Answer>(client: Client, name: 'Allocate' | 'PreStartContainer', request: object): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = devicePlugin[name] as MethodDefinition<object, object>;
    const deadline = Date.now() + CALL_MS;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, (err, answer) => {
        if (err === null) resolve(answer as Answer);
        else reject(new Error(err.details, { cause: err }));
      });
    });
  }

  return {
    register: introduce,
    unregister: (resource) => {
      const plugin = plugins.get(resource);
      if (plugin === undefined) return;
      plugin.client.close();
      note(plugin, resource, allUnhealthy(plugin));
    },

    resources: () => new Map([...plugins].map(([resource, plugin]) => [resource, healthyIds(plugin)])),
    health: (resource, id) => plugins.get(resource)?.devices.get(id) ?? 'Unknown',
    onHealth: (listener) => void listeners.push(listener),

    async allocate(resource, ids) {
      const plugin = plugins.get(resource);
      if (plugin === undefined) throw new Error(`no device plug-in has registered for ${resource}`);
      const request = { container_requests: [{ devices_ids: ids }] };
      const answer = await call<{ container_responses: readonly WireAllocation[] }>(plugin.client, 'Allocate', request);
      const [allocation] = answer.container_responses;
      if (allocation === undefined) throw new Error(`the device plug-in of ${resource} gave nothing`);
      if (plugin.mustPrepare) await call(plugin.client, 'PreStartContainer', { devices_ids: ids });
      return allocationFrom(allocation);
    },

    async start(signal) {
      const path = `${folder}/${SOCKET}`;
      await fs.makeDirectory(folder, 0o750);
      // Of an agent before us. Plug-ins see the new one appear, and register again.
      await fs.remove(path);
      const server = new Server();
      server.addService(registration, {
        Register: ({ request }: ServerUnaryCall<Registration, object>, done: sendUnaryData<object>) => {
          try {
            register(request);
            done(null, {});
          } catch (err) {
            done({ code: status.INVALID_ARGUMENT, details: (err as Error).message });
          }
        },
      });
      await new Promise<void>((resolve, reject) =>
        server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (err) =>
          err ? reject(err) : resolve(),
        ),
      );
      signal.addEventListener(
        'abort',
        () => {
          server.forceShutdown();
          for (const { client } of plugins.values()) client.close();
        },
        { once: true },
      );
    },
  };
}

const healthyIds = ({ devices }: Plugin): readonly string[] =>
  [...devices].filter(([, health]) => health === HEALTHY).map(([id]) => id);

/** Of a plug-in that is away nobody knows anything good. */
const allUnhealthy = ({ devices }: Plugin): Plugin['devices'] =>
  new Map([...devices.keys()].map((id) => [id, 'Unhealthy'] as const));

function allocationFrom(wire: WireAllocation): DeviceAllocation {
  return {
    env: wire.envs,
    annotations: wire.annotations,
    mounts: wire.mounts.map((mount) => ({
      containerPath: mount.container_path,
      hostPath: mount.host_path,
      readOnly: mount.read_only,
    })),
    devices: wire.devices.map((device) => ({
      containerPath: device.container_path,
      hostPath: device.host_path,
      permissions: device.permissions,
    })),
    cdiDevices: wire.cdi_devices.map(({ name }) => name),
  };
}
