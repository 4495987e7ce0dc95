import type { IPAddress, Service } from '#api/object/kinds.ts';
import type { Store } from '../../../store/store.ts';
import { isHeldBy, MANAGED_BY_LABEL, MANAGER } from '../allocation/cluster-ips.ts';
import { heldIps, heldPorts, SERVICE_PREFIX, type ServiceAllocators } from './allocate.ts';

const ADDRESSES = '/registry/ipaddresses/';
/** An address younger than this may belong to a Service that another API server is about to write. */
const SETTLED_AFTER_MS = 60_000;

const storedServices = (store: Store): Service[] =>
  [...store.snapshot().range(SERVICE_PREFIX)].map((stored) => stored.object() as Service);

/** Node ports of all stored Services. */
export function* storedNodePorts(store: Store): Generator<number> {
  for (const service of storedServices(store)) yield* heldPorts(service.spec);
}

/**
 * Puts right what a crash between two writes left behind: addresses whose Service does not hold them are given back, and Services whose
 * address object is missing get it again.
 */
export async function repairClusterIps(
  store: Store,
  clusterIps: ServiceAllocators['clusterIps'],
  nowMs: number,
): Promise<void> {
  const holders = new Map<string, Service>();
  for (const service of storedServices(store)) for (const ip of heldIps(service.spec)) holders.set(ip, service);
  for (const stored of store.snapshot().range(ADDRESSES)) {
    const address = stored.object() as IPAddress;
    const parent = address.spec?.parentRef;
    const isOurs = address.metadata.labels?.[MANAGED_BY_LABEL] === MANAGER && parent?.resource === 'services';
    const isYoung = nowMs - Date.parse(address.metadata.creationTimestamp) < SETTLED_AFTER_MS;
    const holder = holders.get(address.metadata.name);
    const holds =
      holder !== undefined &&
      isHeldBy(stored, { namespace: holder.metadata.namespace ?? '', name: holder.metadata.name });
    if (holds) holders.delete(address.metadata.name);
    else if (isOurs && !isYoung) {
      await clusterIps.release(store, address.metadata.name, {
        namespace: parent.namespace ?? '',
        name: parent.name ?? '',
      });
    }
  }
  for (const [ip, { metadata }] of holders) {
    await clusterIps.restore(store, ip, { namespace: metadata.namespace ?? '', name: metadata.name });
  }
}
