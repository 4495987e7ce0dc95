import { ApiError, alreadyExists } from '#api/object/api-error.ts';
import { invalid, invalidObject } from '#api/object/field-error.ts';
import type { Service } from '#api/object/kinds.ts';
import type { Store } from '../../../store/store.ts';
import type { Allocation, StrategyContext } from '../../registry/resource-definition.ts';
import { type ClusterIpAllocator, IpTakenError, type ServiceRef } from '../allocation/cluster-ips.ts';
import type { NodePorts } from '../allocation/node-ports.ts';
import { PortTakenError } from '../allocation/port-range.ts';
import {
  isExternalName,
  isHeadless,
  needsHealthCheckPort,
  type ServicePort,
  type ServiceSpec,
  usesNodePorts,
} from './defaults.ts';
import { chooseFamilies } from './families.ts';

export const SERVICE_PREFIX = '/registry/services/specs/';
const SERVICE = { group: '', version: 'v1', kind: 'Service' };

export interface ServiceAllocators {
  readonly clusterIps: ClusterIpAllocator;
  readonly nodePorts: NodePorts;
  /** Resolves once node ports are rebuilt from the stored Services; idempotent. */
  ready(store: Store): Promise<void>;
}

const refOf = (service: Service): ServiceRef => ({
  namespace: service.metadata.namespace ?? '',
  name: service.metadata.name,
});

/** Cluster IPs that the Service holds as IPAddress objects. */
export function heldIps(spec: ServiceSpec | undefined): string[] {
  if (spec === undefined || isExternalName(spec)) return [];
  return (spec.clusterIPs ?? []).filter((ip) => ip !== '' && ip !== 'None');
}

/** Node ports that the Service holds, each once. */
export function heldPorts(spec: ServiceSpec | undefined): number[] {
  if (spec === undefined) return [];
  const ports = (spec.ports ?? []).flatMap(({ nodePort }) => nodePort || []);
  if (spec.healthCheckNodePort) ports.push(spec.healthCheckNodePort);
  return [...new Set(ports)];
}

/** Everything one request took, so that it can be put back. */
class Taken {
  readonly ips: string[] = [];
  readonly ports: number[] = [];
}

interface Request {
  readonly allocators: ServiceAllocators;
  readonly store: Store;
  readonly service: Service;
  readonly spec: ServiceSpec;
  readonly old: ServiceSpec | undefined;
  readonly dryRun: boolean;
  readonly taken: Taken;
}

function refuse(service: Service, field: string, value: unknown, detail: string): ApiError {
  return invalidObject(SERVICE, service.metadata.name, [invalid(field, value, detail)]);
}

async function takeClusterIps({ allocators, store, service, spec, old, dryRun, taken }: Request): Promise<void> {
  if (isExternalName(spec)) return;
  const families = chooseFamilies(spec, allocators.clusterIps.families(store.snapshot()));
  if (families.error !== undefined) throw invalidObject(SERVICE, service.metadata.name, [families.error]);
  spec.ipFamilies = [...families.families];
  spec.ipFamilyPolicy = families.policy;
  if (isHeadless(spec) || spec.clusterIPs?.[0] === 'None') {
    spec.clusterIP = 'None';
    spec.clusterIPs = ['None'];
    return;
  }
  const kept = new Set(heldIps(old));
  const wanted = spec.clusterIPs ?? [];
  const ips: string[] = [];
  for (const [i, family] of families.families.entries()) {
    const asked = wanted[i];
    if (asked && kept.has(asked)) {
      ips.push(asked);
      continue;
    }
    try {
      const ip = asked
        ? await allocators.clusterIps.allocate(store, asked, refOf(service), dryRun)
        : await allocators.clusterIps.allocateNext(store, family, refOf(service), dryRun);
      if (!dryRun) taken.ips.push(ip);
      ips.push(ip);
    } catch (err) {
      if (!(err instanceof IpTakenError)) throw err;
      throw refuse(service, 'spec.clusterIPs', wanted, `failed to allocate IP ${asked}: ${err.message}`);
    }
  }
  spec.clusterIP = ips[0];
  spec.clusterIPs = ips;
}

/** Reserves the wanted port, or any. The reservation is noted before anything can fail. */
async function takePort(request: Request, wanted: number | undefined, field: string): Promise<number> {
  const { allocators, store, service, dryRun, taken } = request;
  try {
    const port = await allocators.nodePorts.take(store, { wanted: wanted || undefined, dryRun, chosen: taken.ports });
    if (port === undefined) {
      throw new ApiError(500, 'InternalError', 'Internal error occurred: failed to allocate a nodePort: range is full');
    }
    taken.ports.push(port);
    return port;
  } catch (err) {
    if (!(err instanceof PortTakenError)) throw err;
    throw refuse(service, field, wanted, err.message);
  }
}

async function takeNodePorts(request: Request): Promise<void> {
  const { spec, old } = request;
  if (!usesNodePorts(spec)) return;
  const wantsAll = spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts !== false;
  const mine = new Set(heldPorts(old));
  /** One number serves all protocols of one Service port. */
  const byPort = new Map<number, number>();
  const asked = (ports: readonly ServicePort[]) =>
    [...ports.entries()].sort(([, a], [, b]) => Number(!a.nodePort) - Number(!b.nodePort));
  for (const [i, port] of asked(spec.ports ?? [])) {
    const shared = byPort.get(port.port);
    if (port.nodePort) {
      if (!mine.has(port.nodePort)) await takePort(request, port.nodePort, `spec.ports[${i}].nodePort`);
      mine.add(port.nodePort);
    } else if (wantsAll) {
      port.nodePort = shared ?? (await takePort(request, undefined, `spec.ports[${i}].nodePort`));
      mine.add(port.nodePort);
    }
    if (port.nodePort) byPort.set(port.port, port.nodePort);
  }
}

async function takeHealthCheckPort(request: Request): Promise<void> {
  const { spec, old } = request;
  if (!needsHealthCheckPort(spec)) return;
  if (spec.healthCheckNodePort && spec.healthCheckNodePort === old?.healthCheckNodePort) return;
  spec.healthCheckNodePort = await takePort(request, spec.healthCheckNodePort, 'spec.healthCheckNodePort');
}

/** The write that follows stores the object as it is: fields that were added here must stand where the canonical form has them. */
function inOrder<T extends object>(value: T): T {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))) as T;
}

function putInOrder(service: Service): void {
  const spec = service.spec as ServiceSpec;
  if (spec.ports !== undefined) spec.ports = spec.ports.map(inOrder);
  service.spec = inOrder(spec);
}

/** Gives the Service its addresses and ports; what the old one held and the new one does not goes back after the write. */
export async function allocateForService(
  allocators: ServiceAllocators,
  service: Service,
  old: Service | undefined,
  { store, context }: { readonly store: Store; readonly context: StrategyContext },
): Promise<Allocation> {
  await allocators.ready(store);
  if (store.shared !== undefined) await store.shared.catchUp();
  const key = `${SERVICE_PREFIX}${service.metadata.namespace}/${service.metadata.name}`;
  if (old === undefined && store.snapshot().get(key) !== undefined) {
    // A clearer answer than that its own address is taken.
    throw alreadyExists({ group: '', resource: 'services' }, service.metadata.name);
  }
  const taken = new Taken();
  const ref = refOf(service);
  const release = async () => {
    await allocators.nodePorts.release(store, taken.ports, context.dryRun);
    for (const ip of taken.ips) await allocators.clusterIps.release(store, ip, ref);
  };
  const spec = service.spec as ServiceSpec;
  const request: Request = { allocators, store, service, spec, old: old?.spec, dryRun: context.dryRun, taken };
  try {
    // Ports first: they cost nothing, so a refused port has not taken an address yet.
    await takeNodePorts(request);
    await takeHealthCheckPort(request);
    await takeClusterIps(request);
  } catch (err) {
    await release();
    throw err;
  }
  putInOrder(service);
  return { release, commit: () => releaseUnused(allocators, store, { ref, old: old?.spec, now: service.spec }) };
}

interface Change {
  readonly ref: ServiceRef;
  readonly old: ServiceSpec | undefined;
  readonly now: ServiceSpec | undefined;
}

async function releaseUnused(allocators: ServiceAllocators, store: Store, { ref, old, now }: Change): Promise<void> {
  const keptPorts = new Set(heldPorts(now));
  const keptIps = new Set(heldIps(now));
  const unusedPorts = heldPorts(old).filter((port) => !keptPorts.has(port));
  await allocators.nodePorts.release(store, unusedPorts, false);
  for (const ip of heldIps(old)) if (!keptIps.has(ip)) await allocators.clusterIps.release(store, ip, ref);
}

/** After a Service is gone. */
export function releaseService(allocators: ServiceAllocators, store: Store, service: Service): Promise<void> {
  return releaseUnused(allocators, store, { ref: refOf(service), old: service.spec, now: undefined });
}
