import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { fromJSON, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import draHealth from '../../protos/dra-health-v1alpha1.json' with { type: 'json' };
import dra from '../../protos/dra-v1.json' with { type: 'json' };
import registrar from '../../protos/plugin-registration-v1.json' with { type: 'json' };

const options = { keepCase: true, defaults: true };
const draServices = fromJSON(dra as Parameters<typeof fromJSON>[0], options);
const registrarServices = fromJSON(registrar as Parameters<typeof fromJSON>[0], options);
const healthServices = fromJSON(draHealth as Parameters<typeof fromJSON>[0], options);
const PACKAGE = 'k8s.io.kubelet.pkg.apis.dra';

export interface WireClaim {
  readonly namespace: string;
  readonly uid: string;
  readonly name: string;
}

export interface WireDevice {
  readonly request_names: readonly string[];
  readonly pool_name: string;
  readonly device_name: string;
  readonly cdi_device_ids: readonly string[];
}

export interface DraDriverOptions {
  /** `/var/lib/kubelet` of the node. */
  readonly kubelet: string;
  readonly name: string;
  /** The one version that it speaks. */
  readonly version?: 'v1' | 'v1beta1';
  /** What it says that it supports; its version when left out. */
  readonly supported?: readonly string[];
  /** It has the service that tells of the health of devices. */
  readonly tellsHealth?: boolean;
  /** Throws to refuse. */
  readonly prepare: (claim: WireClaim) => readonly WireDevice[] | Promise<readonly WireDevice[]>;
}

export interface TestDraDriver {
  /** `prepare <claim>`, `unprepare <claim>` in the order of their coming. */
  readonly asked: readonly string[];
  /** What the node made of its registration. */
  readonly told: readonly { readonly plugin_registered: boolean; readonly error: string }[];
  /** Tells everybody who listens, now and later. Times in seconds. */
  tellHealth(devices: readonly WireHealth[]): void;
  /** Breaks off what it says of devices. */
  endHealth(): void;
  stop(): Promise<void>;
}

export interface WireHealth {
  readonly device: { readonly pool_name: string; readonly device_name: string };
  readonly health: 'HEALTHY' | 'UNHEALTHY' | 'UNKNOWN';
  readonly health_check_timeout_seconds?: number;
  readonly message?: string;
}

type Claims = { readonly claims: readonly WireClaim[] };

/** A driver of dynamic resources over sockets of its own, as a node sees one. */
export async function startDraDriver(given: DraDriverOptions): Promise<TestDraDriver> {
  const { kubelet, name, version = 'v1', supported = [`${version}.DRAPlugin`], prepare } = given;
  const asked: string[] = [];
  const told: { plugin_registered: boolean; error: string }[] = [];
  const answer = async (claims: readonly WireClaim[], what: string, act: (claim: WireClaim) => unknown) => {
    const answers: Record<string, object> = {};
    for (const claim of claims) {
      asked.push(`${what} ${claim.name}`);
      try {
        answers[claim.uid] = { devices: await act(claim) };
      } catch (err) {
        answers[claim.uid] = { error: (err as Error).message };
      }
    }
    return { claims: answers };
  };
  const endpoint = join(kubelet, 'plugins', name, 'dra.sock');
  const registration = join(kubelet, 'plugins_registry', `${name}-reg.sock`);
  await mkdir(join(kubelet, 'plugins', name), { recursive: true });
  await mkdir(join(kubelet, 'plugins_registry'), { recursive: true });
  const driver = await serve<Claims>(endpoint, serviceOf(version), {
    NodePrepareResources: ({ claims }) => answer(claims, 'prepare', prepare),
    NodeUnprepareResources: ({ claims }) => answer(claims, 'unprepare', () => []),
  });
  const health = new HealthTeller();
  if (given.tellsHealth === true) health.addTo(driver);
  const registrarServer = await serve<(typeof told)[number]>(
    registration,
    registrarServices['pluginregistration.Registration'] as ServiceDefinition,
    {
      GetInfo: async () => ({ type: 'DRAPlugin', name, endpoint, supported_versions: supported }),
      async NotifyRegistrationStatus(request) {
        told.push(request);
        return {};
      },
    },
  );
  return {
    asked,
    told,
    tellHealth: (devices) => health.tell(devices),
    endHealth: () => health.end(),
    async stop() {
      registrarServer.forceShutdown();
      driver.forceShutdown();
      await rm(registration, { force: true });
    },
  };
}

type HealthStream = ServerWritableStream<object, { readonly devices: readonly WireHealth[] }>;

class HealthTeller {
  readonly #streams = new Set<HealthStream>();
  #devices: readonly WireHealth[] = [];

  addTo(server: Server): void {
    server.addService(healthServices['v1alpha1.DRAResourceHealth'] as ServiceDefinition, {
      NodeWatchResources: (stream: HealthStream) => {
        this.#streams.add(stream);
        stream.on('cancelled', () => this.#streams.delete(stream));
        stream.write({ devices: this.#devices });
      },
    });
  }

  tell(devices: readonly WireHealth[]): void {
    this.#devices = devices;
    for (const stream of this.#streams) stream.write({ devices });
  }

  end(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }
}

function serviceOf(version: string): ServiceDefinition {
  const methods = Object.entries(draServices[`${PACKAGE}.v1.DRAPlugin`] as ServiceDefinition);
  return Object.fromEntries(
    methods.map(([name, method]) => [
      name,
      { ...(method as MethodDefinition<object, object>), path: `/${PACKAGE}.${version}.DRAPlugin/${name}` },
    ]),
  );
}

async function serve<Request>(
  socket: string,
  service: ServiceDefinition,
  methods: Readonly<Record<string, (request: Request) => Promise<object>>>,
): Promise<Server> {
  await rm(socket, { force: true });
  const server = new Server();
  const handlers = Object.entries(methods).map(([method, answer]) => [
    method,
    ({ request }: ServerUnaryCall<Request, object>, done: sendUnaryData<object>) =>
      answer(request).then(
        (result) => done(null, result),
        (err: Error) => done({ code: 2, details: err.message }),
      ),
  ]);
  server.addService(service, Object.fromEntries(handlers));
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve())),
  );
  return server;
}
