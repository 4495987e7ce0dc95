import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { addressAt, parseCidr } from '#api/meta/ip-address.ts';
import { isAlreadyExists, isConflict, isInvalid, isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { resources, type Service, type ServiceCIDR } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import { type Clock, delay, systemClock } from '#base/clock.ts';
import { SYSTEM_PRIORITY_CLASSES } from './priorityclasses.ts';

const SYSTEM_NAMESPACES: readonly string[] = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const KUBERNETES = 'kubernetes';
const DEFAULT = 'default';
const PRIORITY_CLASSES: ResourceInfo = {
  group: 'scheduling.k8s.io',
  version: 'v1',
  resource: 'priorityclasses',
  kind: 'PriorityClass',
  namespaced: false,
};

export interface BootstrapOptions {
  /** Acts as `system:apiserver` in `system:masters`. */
  readonly client: KubeClient;
  /** One range per family, comma-separated; the first family's first address becomes that of the `kubernetes` Service. */
  readonly serviceCidr: string;
  /** The port that API servers listen on. */
  readonly port: number;
  /** The port of the `kubernetes` Service. */
  readonly servicePort?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

type AnyObject = Stored<KubeObject>;

interface NewObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

async function createUnlessThere(
  client: KubeClient,
  info: ResourceInfo,
  object: NewObject,
  signal: AbortSignal | undefined,
): Promise<void> {
  const api = client.resource<AnyObject>(info);
  const { name, namespace } = object.metadata;
  try {
    // Looked for first: a creation passes admission before it is found to be superfluous, and somebody's webhook may be down.
    await api.fetch(name, namespace, signal);
    return;
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
  try {
    await api.create(object as Parameters<ResourceClient<AnyObject>['create']>[0], signal);
  } catch (err) {
    if (!isAlreadyExists(err)) throw err;
  }
}

async function ensureNamespaces({ client, signal }: BootstrapOptions): Promise<void> {
  for (const name of SYSTEM_NAMESPACES)
    await createUnlessThere(client, resources.namespaces, { metadata: { name } }, signal);
}

async function ensurePriorityClasses({ client, signal }: BootstrapOptions): Promise<void> {
  for (const { name, value, description } of SYSTEM_PRIORITY_CLASSES) {
    await createUnlessThere(client, PRIORITY_CLASSES, { metadata: { name }, value, description }, signal);
  }
}

const READY = [
  {
    type: 'Ready',
    status: 'True',
    reason: '',
    message: 'Kubernetes default Service CIDR is ready',
  },
];

async function ensureServiceCidr({ client, serviceCidr, signal }: BootstrapOptions): Promise<void> {
  const cidrs = serviceCidr.split(',').map((cidr) => cidr.trim());
  await createUnlessThere(client, resources.serviceCIDRs, { metadata: { name: KUBERNETES }, spec: { cidrs } }, signal);
  const api = client.resource<ServiceCIDR>(resources.serviceCIDRs);
  const current = await api.fetch(KUBERNETES, undefined, signal);
  if (current.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'))
    return;
  const lastTransitionTime = current.metadata.creationTimestamp;
  const conditions = READY.map((condition) => ({ ...condition, lastTransitionTime }));
  await updateUnlessLost(api, { ...current, status: { conditions } } as ServiceCIDR, 'status', signal);
}

/** Another API server that was faster has written the same. */
async function updateUnlessLost<T extends Stored<object>>(
  api: ResourceClient<T>,
  object: T,
  subresource: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await api.update(object, subresource, signal);
  } catch (err) {
    if (!isConflict(err)) throw err;
  }
}

function firstServiceIp(serviceCidr: string): string {
  const range = parseCidr(serviceCidr.split(',')[0]?.trim() ?? '');
  if (range === undefined) throw new Error(`service range ${serviceCidr} is not a CIDR`);
  return addressAt(range, 1n);
}

const LABELS = { component: 'apiserver', provider: KUBERNETES };

/** Another API server may hold the address of a Service that it has not written yet; its write takes milliseconds. */
const MAX_SERVICE_TRIES = 20;
const SERVICE_RETRY_MS = 100;

function kubernetesService({ serviceCidr, port, servicePort = 443 }: BootstrapOptions) {
  return {
    metadata: { name: KUBERNETES, namespace: DEFAULT, labels: LABELS },
    spec: {
      clusterIP: firstServiceIp(serviceCidr),
      ipFamilyPolicy: 'SingleStack',
      ports: [{ name: 'https', port: servicePort, protocol: 'TCP', targetPort: port }],
      sessionAffinity: 'None',
      type: 'ClusterIP',
    },
  };
}

/** The Service as it is, created where it was missing. */
async function fetchOrCreateService(options: BootstrapOptions): Promise<Service> {
  const { client, clock = systemClock, signal } = options;
  const api = client.resource<Service>(resources.services);
  for (let tries = 1; ; tries++) {
    const current = await fetchOrNothing(api, signal);
    if (current !== undefined) return current;
    try {
      return await api.create(kubernetesService(options) as unknown as Service, signal);
    } catch (err) {
      if (!(isAlreadyExists(err) || isInvalid(err)) || tries === MAX_SERVICE_TRIES) throw err;
      await delay(clock, SERVICE_RETRY_MS, signal);
    }
  }
}

async function ensureKubernetesService(options: BootstrapOptions): Promise<void> {
  const current = await fetchOrCreateService(options);
  const { ports } = kubernetesService(options).spec;
  const now = (current.spec?.ports ?? []).map(({ port, targetPort }) => ({ port, targetPort }));
  if (
    deepEqual(
      now,
      ports.map(({ port, targetPort }) => ({ port, targetPort })),
    )
  )
    return;
  const api = options.client.resource<Service>(resources.services);
  await updateUnlessLost(api, { ...current, spec: { ...current.spec, ports } } as Service, undefined, options.signal);
}

async function fetchOrNothing<T extends Stored<object>>(
  api: ResourceClient<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return await api.fetch(KUBERNETES, DEFAULT, signal);
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}

/**
 * What a cluster has before anybody asks: the four system namespaces, the priority classes, the service range and the `kubernetes`
 * Service, whose endpoints are in kubernetes-endpoints.ts. Idempotent; any number of API servers may run it at once.
 */
export async function ensureBootstrapObjects(options: BootstrapOptions): Promise<void> {
  await ensureNamespaces(options);
  await ensurePriorityClasses(options);
  await ensureServiceCidr(options);
  await ensureKubernetesService(options);
}
