import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { fromJSON, type ServiceDefinition } from '@grpc/proto-loader';
import csi from '../../protos/csi-v1.json' with { type: 'json' };
import registrar from '../../protos/plugin-registration-v1.json' with { type: 'json' };

/**
 * A CSI driver in a process of its own, as a node sees one: `node csi-driver.ts <kubelet folder> <data folder> <name> [capability ...]`.
 * A volume is a folder below the data folder, staged and published by bind mounts; a block volume is a file in place of a device. What it
 * was asked is in `calls.jsonl`, one JSON object a line; volumes whose handle begins with `broken` fail.
 */
const [kubelet = '', data = '', name = '', ...capabilities] = process.argv.slice(2);

const options = { keepCase: true, defaults: true, longs: Number, enums: String };
const csiServices = fromJSON(csi as Parameters<typeof fromJSON>[0], options);
const registrarServices = fromJSON(registrar as Parameters<typeof fromJSON>[0], options);

interface Request {
  readonly volume_id: string;
  readonly staging_target_path: string;
  readonly target_path: string;
  readonly volume_path: string;
  readonly readonly: boolean;
  readonly volume_capability: { readonly block: object | null } | null;
  readonly capacity_range: { readonly required_bytes: number } | null;
}

class Refusal extends Error {
  override readonly name = 'Refusal';
}

const isMounted = (path: string) => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
const mount = (...args: string[]) => execFileSync('mount', args);
const unmount = (path: string) => {
  if (isMounted(path)) execFileSync('umount', [path]);
  rmSync(path, { recursive: true, force: true });
};

function folderOf({ volume_id: id }: Request): string {
  if (id.startsWith('broken')) throw new Refusal(`volume ${id} is broken`);
  const folder = join(data, 'volumes', id);
  mkdirSync(folder, { recursive: true });
  return folder;
}

const METHODS: Readonly<Record<string, (request: Request) => object>> = {
  NodeGetInfo: () => ({
    node_id: `id-of-${name}`,
    max_volumes_per_node: 7,
    accessible_topology: { segments: { [`topology.${name}/rack`]: 'r1' } },
  }),
  NodeGetCapabilities: () => ({ capabilities: capabilities.map((type) => ({ rpc: { type } })) }),
  NodeStageVolume(request) {
    const { staging_target_path: staging } = request;
    const folder = folderOf(request);
    if (request.volume_capability?.block) return {};
    if (!existsSync(staging)) throw new Refusal(`${staging} does not exist`);
    if (!isMounted(staging)) mount('--bind', folder, staging);
    return {};
  },
  NodeUnstageVolume({ staging_target_path: staging }) {
    if (isMounted(staging)) execFileSync('umount', [staging]);
    return {};
  },
  NodePublishVolume(request) {
    const { target_path: target, staging_target_path: staging, readonly } = request;
    const folder = folderOf(request);
    if (request.volume_capability?.block) {
      const device = join(folder, 'device');
      // /dev/zero in small: any device node serves to see that a container has it.
      if (!existsSync(device)) execFileSync('mknod', [device, 'b', '7', '200']);
      writeFileSync(target, '');
      if (!isMounted(target)) mount('--bind', device, target);
      return {};
    }
    mkdirSync(target, { recursive: true });
    if (isMounted(target)) return {};
    mount('--bind', staging || folder, target);
    if (readonly) mount('-o', 'remount,bind,ro', target);
    return {};
  },
  NodeUnpublishVolume({ target_path: target }) {
    unmount(target);
    return {};
  },
  NodeGetVolumeStats: () => ({
    usage: [
      { unit: 'BYTES', total: 1000, available: 600, used: 400 },
      { unit: 'INODES', total: 100, available: 60, used: 40 },
    ],
  }),
  NodeExpandVolume: ({ capacity_range }) => ({ capacity_bytes: capacity_range?.required_bytes ?? 0 }),
};

const ignored = { GetInfo: 1, NodeGetInfo: 1, NodeGetCapabilities: 1, NodeGetVolumeStats: 1 };

function handler(method: string, answer: (request: Request) => object) {
  return ({ request }: ServerUnaryCall<Request, object>, done: sendUnaryData<object>) => {
    if (!(method in ignored)) appendFileSync(join(data, 'calls.jsonl'), `${JSON.stringify({ method, ...request })}\n`);
    try {
      done(null, answer(request));
    } catch (err) {
      const code = err instanceof Refusal ? status.INTERNAL : status.UNKNOWN;
      done({ code, details: (err as Error).message });
    }
  };
}

async function serve(socket: string, service: ServiceDefinition, methods: typeof METHODS): Promise<Server> {
  rmSync(socket, { force: true });
  const server = new Server();
  server.addService(
    service,
    Object.fromEntries(Object.entries(methods).map(([method, answer]) => [method, handler(method, answer)])),
  );
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve())),
  );
  return server;
}

mkdirSync(join(kubelet, 'plugins', name), { recursive: true });
mkdirSync(join(kubelet, 'plugins_registry'), { recursive: true });
const endpoint = join(kubelet, 'plugins', name, 'csi.sock');
const registration = join(kubelet, 'plugins_registry', `${name}-reg.sock`);
await serve(endpoint, csiServices['csi.v1.Node'] as ServiceDefinition, METHODS);
await serve(registration, registrarServices['pluginregistration.Registration'] as ServiceDefinition, {
  GetInfo: () => ({ type: 'CSIPlugin', name, endpoint, supported_versions: ['1.0.0'] }),
  NotifyRegistrationStatus: () => ({}),
});
process.on('SIGTERM', () => {
  rmSync(registration, { force: true });
  process.exit(0);
});
