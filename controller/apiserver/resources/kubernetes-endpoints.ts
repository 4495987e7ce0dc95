import { isIPv4 } from 'node:net';
import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { type EndpointSlice, type Endpoints, resources } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';

/** Where clients within the cluster reach an API server. */
export interface ServerAddress {
  /** IPv4 or IPv6. */
  readonly ip: string;
  readonly port: number;
}

export interface KubernetesEndpointsOptions {
  /** Acts as `system:apiserver`. */
  readonly client: KubeClient;
  /** Of all API servers that live; at least one. */
  readonly servers: readonly ServerAddress[];
  readonly signal?: AbortSignal;
}

const NAME = 'kubernetes';
const NAMESPACE = 'default';
const MANAGER_LABEL = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'apiserver.coracle.dev';

/** Points the `kubernetes` Service at these API servers. What others write at the same time is settled by whoever comes last. */
export async function ensureKubernetesEndpoints(options: KubernetesEndpointsOptions): Promise<void> {
  const groups = groupByPort(options.servers);
  await ensureFields<Endpoints>(options, resources.endpoints, {
    name: NAME,
    labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    fields: {
      subsets: groups.map(([port, ips]) => ({
        addresses: ips.map((ip) => ({ ip })),
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      })),
    },
  });
  const slices = groups.map(([port, ips], i) => sliceOf(port, ips, i === 0));
  for (const slice of slices) await ensureFields<EndpointSlice>(options, resources.endpointSlices, slice);
  await removeOthers(options, new Set(slices.map(({ name }) => name)));
}

/** In an order that all servers agree about. */
function groupByPort(servers: readonly ServerAddress[]): (readonly [number, readonly string[]])[] {
  return [...Map.groupBy(servers, ({ port }) => port)]
    .sort(([a], [b]) => a - b)
    .map(([port, group]) => [port, [...new Set(group.map(({ ip }) => ip))].sort()]);
}

interface Wanted {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A slice has one list of ports and one family. Usually there is one, named as Kubernetes names it. */
function sliceOf(port: number, ips: readonly string[], isFirst: boolean): Wanted {
  const isFour = isIPv4(ips[0] ?? '');
  return {
    name: isFirst ? NAME : `${NAME}-${port}`,
    labels: { [SERVICE_NAME_LABEL]: NAME, ...(isFirst ? {} : { [MANAGER_LABEL]: MANAGER }) },
    fields: {
      addressType: isFour ? 'IPv4' : 'IPv6',
      endpoints: ips
        .filter((ip) => isIPv4(ip) === isFour)
        .map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
  };
}

/** Slices of ports that nobody listens on any more. */
async function removeOthers(
  { client, signal }: KubernetesEndpointsOptions,
  wanted: ReadonlySet<string>,
): Promise<void> {
  const api = client.resource<EndpointSlice>(resources.endpointSlices);
  const labelSelector = `${SERVICE_NAME_LABEL}=${NAME},${MANAGER_LABEL}=${MANAGER}`;
  const { items } = await api.fetchList({ namespace: NAMESPACE, labelSelector, signal });
  for (const { metadata } of items.filter((slice) => !wanted.has(slice.metadata.name))) {
    await api.delete({ name: metadata.name, namespace: NAMESPACE, signal }).catch(ignore(isNotFound));
  }
}

/** Creates the object, or brings `fields` of the one that is there up to date. */
async function ensureFields<T extends Stored<object>>(
  { client, signal }: KubernetesEndpointsOptions,
  info: ResourceInfo,
  { name, labels, fields }: Wanted,
): Promise<void> {
  const api = client.resource<T>(info);
  const current = await fetchOrNothing(api, name, signal);
  if (current === undefined) {
    const draft = { metadata: { name, namespace: NAMESPACE, labels }, ...fields };
    await api.create(draft as Parameters<typeof api.create>[0], signal).catch(ignore(isAlreadyExists));
    return;
  }
  const now = current as unknown as Record<string, unknown>;
  if (Object.entries(fields).every(([field, value]) => deepEqual(now[field], value))) return;
  await api.update({ ...current, ...fields } as T, undefined, signal).catch(ignore(isConflict));
}

async function fetchOrNothing<T extends Stored<object>>(
  api: ResourceClient<T>,
  name: string,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return await api.fetch(name, NAMESPACE, signal);
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}

/** Another API server was faster. */
const ignore =
  (isIt: (err: unknown) => boolean) =>
  (err: unknown): void => {
    if (!isIt(err)) throw err;
  };
