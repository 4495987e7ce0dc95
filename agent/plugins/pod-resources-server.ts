import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { readDescriptor } from '#api/codec/described-messages.ts';
import descriptor from '../../protos/pod-resources-v1.json' with { type: 'json' };
import type { FileSystem } from '../host/host.ts';
import type { ClaimedDevices } from '../kubelet/claims/claim-manager.ts';
import type { PodResources, PodResourcesSource, ResourceDevices } from '../kubelet/devices/pod-resources.ts';

export interface PodResourcesServerOptions {
  /** `/var/lib/kubelet/pod-resources`: monitoring agents look for our socket here. */
  readonly folder: string;
  readonly fs: FileSystem;
  readonly source: PodResourcesSource;
}

const SOCKET = 'kubelet.sock';
const lister = readDescriptor(descriptor).service('v1.PodResourcesLister');

type Answer = (request: { readonly pod_name: string; readonly pod_namespace: string }) => object;

/** The kubelet's pod-resources API, for root on this host alone. Resolves once it serves; ends with the signal. */
export async function servePodResources(options: PodResourcesServerOptions, signal: AbortSignal): Promise<void> {
  const { folder, fs, source } = options;
  const path = `${folder}/${SOCKET}`;
  await fs.makeDirectory(folder, 0o750);
  // Of an agent before us.
  await fs.remove(path);
  const methods: Readonly<Record<string, Answer>> = {
    List: () => ({ pod_resources: source.list().map(podToWire) }),
    GetAllocatableResources: () => ({
      devices: source.allocatable().map(devicesToWire),
      cpu_ids: source.allocatableCpus(),
    }),
    Get({ pod_name: name, pod_namespace: namespace }) {
      const found = source.list().find((pod) => pod.name === name && pod.namespace === namespace);
      if (found === undefined) throw new Error(`pod ${name} in namespace ${namespace} not found`);
      return { pod_resources: podToWire(found) };
    },
  };
  const server = new Server();
  server.addService(
    lister,
    Object.fromEntries(Object.entries(methods).map(([name, answer]) => [name, handler(answer)])),
  );
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve())),
  );
  signal.addEventListener('abort', () => server.forceShutdown(), { once: true });
}

function handler(answer: Answer) {
  return ({ request }: ServerUnaryCall<Parameters<Answer>[0], object>, done: sendUnaryData<object>) => {
    try {
      done(null, answer(request));
    } catch (err) {
      done({ code: status.UNKNOWN, details: (err as Error).message });
    }
  };
}

const devicesToWire = ({ resource, ids }: ResourceDevices) => ({ resource_name: resource, device_ids: ids });

const podToWire = ({ name, namespace, containers }: PodResources) => ({
  name,
  namespace,
  containers: containers.map((container) => ({
    name: container.name,
    devices: container.devices.map(devicesToWire),
    cpu_ids: container.cpus,
    dynamic_resources: container.claims.map(claimToWire),
  })),
});

const claimToWire = ({ claim, namespace, devices }: ClaimedDevices) => ({
  claim_name: claim,
  claim_namespace: namespace,
  claim_resources: devices.map(({ cdiIds, driver, pool, device, shareId }) => ({
    cdi_devices: cdiIds.map((name) => ({ name })),
    driver_name: driver,
    pool_name: pool,
    device_name: device,
    ...(shareId === undefined ? {} : { share_id: shareId }),
  })),
});
