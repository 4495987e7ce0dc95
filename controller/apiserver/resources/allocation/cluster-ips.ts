import {
  addressAt,
  formatIp,
  type IpFamily,
  type IpRange,
  parseCidr,
  parseIp,
  rangeContains,
} from '#api/meta/ip-address.ts';
import { ApiError, alreadyExists, isAlreadyExists } from '#api/object/api-error.ts';
import type { IPAddress, ServiceCIDR } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { NewValue, Snapshot, Store, StoredObject } from '../../../store/store.ts';
import { drawOrder, IP_BAND } from './bands.ts';

const IP_ADDRESSES = { group: 'networking.k8s.io', resource: 'ipaddresses' };
const ADDRESS_PREFIX = '/registry/ipaddresses/';
const CIDR_PREFIX = '/registry/servicecidrs/';
export const MANAGED_BY_LABEL = 'ipaddress.kubernetes.io/managed-by';
const FAMILY_LABEL = 'ipaddress.kubernetes.io/ip-family';
export const MANAGER = 'ipallocator.k8s.io';
const encoder = new TextEncoder();

export interface ServiceRef {
  readonly namespace: string;
  readonly name: string;
}

export interface ClusterIpOptions {
  /** Used until the `kubernetes` ServiceCIDR exists: one range per family, comma-separated. */
  readonly serviceCidr: string;
  readonly nowMs: () => number;
  readonly random: () => number;
  readonly newUid: () => string;
}

export class IpTakenError extends Error {
  override readonly name = 'IpTakenError';
}

const keyOf = (ip: string): string => ADDRESS_PREFIX + ip;

/** Ranges serve until they are deleted or said not to be ready; without a word from their controller they are. */
function isUsable({ metadata, status }: ServiceCIDR): boolean {
  const ready = status?.conditions?.find((condition) => condition.type === 'Ready');
  return metadata.deletionTimestamp === undefined && (ready === undefined || ready.status === 'True');
}

/** The network address, and for IPv4 the broadcast address, are never given away. */
const usable = (range: IpRange): { first: bigint; size: bigint } => ({
  first: 1n,
  size: range.size - (range.family === 'IPv4' ? 2n : 1n),
});

/**
 * Cluster IPs are held by IPAddress objects: creating the object is the lock, in whichever process of the cluster it happens.
 */
export class ClusterIpAllocator {
  readonly #options: ClusterIpOptions;

  constructor(options: ClusterIpOptions) {
    this.#options = options;
  }

  /** Families that a range exists for, the first being the cluster's own. */
  families(snapshot: Snapshot): IpFamily[] {
    return [...new Set(this.#ranges(snapshot).map((range) => range.family))];
  }

  #ranges(snapshot: Snapshot): IpRange[] {
    const stored = [...snapshot.range(CIDR_PREFIX)]
      .map((object) => object.object() as ServiceCIDR)
      .filter(isUsable)
      .flatMap((cidr) => cidr.spec?.cidrs ?? []);
    const configured = this.#options.serviceCidr.split(',');
    return [...new Set([...configured, ...stored])].flatMap((cidr) => parseCidr(cidr.trim()) ?? []);
  }

  /** Takes this very address. Throws IpTakenError, in Kubernetes' words. `dryRun` looks and takes nothing. */
  async allocate(store: Store, ip: string, service: ServiceRef, dryRun: boolean): Promise<string> {
    const snapshot = store.snapshot();
    const parsed = parseIp(ip);
    const ranges = this.#ranges(snapshot);
    if (parsed === undefined || !ranges.some((range) => rangeContains(range, parsed))) {
      throw new IpTakenError('the provided network does not match the current range');
    }
    const canonical = formatIp(parsed);
    if (!(await this.#take(store, canonical, service, dryRun))) {
      throw new IpTakenError('provided IP is already allocated');
    }
    return canonical;
  }

  /** Takes a free address of the family. Throws 500 when every range is full. */
  async allocateNext(store: Store, family: IpFamily, service: ServiceRef, dryRun: boolean): Promise<string> {
    for (const range of this.#ranges(store.snapshot()).filter((range) => range.family === family)) {
      const { first, size } = usable(range);
      for (const offset of drawOrder(size > 0n ? size : 0n, IP_BAND, this.#options.random)) {
        const ip = addressAt(range, first + offset);
        if (store.snapshot().get(keyOf(ip)) !== undefined) continue;
        if (await this.#take(store, ip, service, dryRun)) return ip;
      }
    }
    throw new ApiError(500, 'InternalError', 'Internal error occurred: failed to allocate a serviceIP: range is full');
  }

  /** False when somebody else holds it. */
  async #take(store: Store, ip: string, service: ServiceRef, dryRun: boolean): Promise<boolean> {
    if (dryRun) return store.snapshot().get(keyOf(ip)) === undefined;
    try {
      await store.write(keyOf(ip), (current) => {
        if (current !== undefined) throw alreadyExists(IP_ADDRESSES, ip);
        return { kind: 'put', value: this.#newAddress(ip, service) };
      });
      return true;
    } catch (err) {
      if (isAlreadyExists(err)) return false;
      throw err;
    }
  }

  /** Writes the address of a Service that exists without it; one that somebody holds is left alone. */
  async restore(store: Store, ip: string, service: ServiceRef): Promise<void> {
    await this.#take(store, ip, service, false);
  }

  /** Gives an address back; one that another Service holds by now is left alone. */
  async release(store: Store, ip: string, service: ServiceRef): Promise<void> {
    await store.write(keyOf(ip), (current) =>
      current !== undefined && isHeldBy(current, service) ? { kind: 'delete' } : { kind: 'unchanged' },
    );
  }

  /** The canonical form, fields in their order; as Kubernetes writes it. */
  #newAddress(ip: string, { namespace, name }: ServiceRef): NewValue {
    const { nowMs, newUid } = this.#options;
    const time = toTime(nowMs());
    const labels = { [FAMILY_LABEL]: parseIp(ip)?.family ?? '', [MANAGED_BY_LABEL]: MANAGER };
    const object = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: {
        creationTimestamp: time,
        generation: 1,
        labels,
        managedFields: [managedFieldsEntry(time)],
        name: ip,
        uid: newUid(),
      },
      spec: { parentRef: { name, namespace, resource: 'services' } },
    };
    return {
      bytes: encoder.encode(JSON.stringify(object)),
      labels,
      fields: {
        'metadata.name': ip,
        'metadata.namespace': '',
        'spec.parentRef.group': '',
        'spec.parentRef.resource': 'services',
        'spec.parentRef.namespace': namespace,
        'spec.parentRef.name': name,
      },
      durability: 'durable',
    };
  }
}

function managedFieldsEntry(time: string): object {
  return {
    apiVersion: 'networking.k8s.io/v1',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:metadata': { 'f:labels': { '.': {}, [`f:${FAMILY_LABEL}`]: {}, [`f:${MANAGED_BY_LABEL}`]: {} } },
      'f:spec': { 'f:parentRef': { '.': {}, 'f:name': {}, 'f:namespace': {}, 'f:resource': {} } },
    },
    manager: 'kube-apiserver',
    operation: 'Update',
    time,
  };
}

/** True when the IPAddress names this Service as its parent. */
export function isHeldBy(stored: StoredObject, service: ServiceRef): boolean {
  const parent = (stored.object() as IPAddress).spec?.parentRef;
  return parent?.resource === 'services' && parent.namespace === service.namespace && parent.name === service.name;
}
