import { parseIp } from '#api/meta/ip-address.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, splitKey } from '#api/object/kube-object.ts';
import { SlicesByService } from '#api/object/slices-by-service.ts';

export interface Endpoint {
  readonly hostname: string;
  readonly addresses: readonly string[];
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

/** What names of one Service lead to; made from its objects at each change. Plain data, so that it can be sent to another thread. */
export interface ServiceNames {
  readonly clusterIps: readonly string[];
  readonly externalName: string | undefined;
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly NamedPort[];
}

/** What became of one Service; `names` undefined: it is gone. */
export interface NamesChange {
  readonly namespace: string;
  readonly name: string;
  readonly names: ServiceNames | undefined;
}

/**
 * Turns Services and EndpointSlices into what their names lead to. Slices count for headless Services alone. It tells which Service changed;
 * what its names lead to is made when asked for, since a Service of many slices changes with each of them.
 */
export class NamesFeed {
  readonly #services = new Map<ObjectKey, Service>();
  readonly #slices = new SlicesByService();
  readonly #onChange: (service: ObjectKey) => void;

  constructor(onChange: (service: ObjectKey) => void) {
    this.#onChange = onChange;
  }

  onService(service: Service): void {
    this.#services.set(keyOf(service), service);
    this.#onChange(keyOf(service));
  }

  onServiceDeleted(service: Service): void {
    if (this.#services.delete(keyOf(service))) this.#onChange(keyOf(service));
  }

  onSlice(slice: EndpointSlice): void {
    this.#onEndpoints(this.#slices.set(slice));
  }

  onSliceDeleted(slice: EndpointSlice): void {
    this.#onEndpoints(this.#slices.delete(slice));
  }

  /** Everything once more, for who has just begun to listen. */
  replay(): void {
    for (const key of this.#services.keys()) this.#onChange(key);
  }

  /** The Service as it is now. */
  changeOf(key: ObjectKey): NamesChange {
    const { namespace = '', name } = splitKey(key);
    const service = this.#services.get(key);
    if (service === undefined) return { namespace, name, names: undefined };
    const slices = isHeadless(service) ? this.#slices.of(key) : [];
    return { namespace, name, names: namesOf(service, slices) };
  }

  #onEndpoints(key: ObjectKey | undefined): void {
    const service = key === undefined ? undefined : this.#services.get(key);
    if (key !== undefined && service !== undefined && isHeadless(service)) this.#onChange(key);
  }
}

const isHeadless = (service: Service): boolean => service.spec?.clusterIP === 'None';

function namesOf(service: Service, slices: readonly EndpointSlice[]): ServiceNames {
  const { spec } = service;
  const headless = isHeadless(service);
  const ports = headless
    ? slices.flatMap((slice) => (slice.ports ?? []).map(({ name, protocol, port }) => namedPort(name, protocol, port)))
    : (spec?.ports ?? []).map(({ name, protocol, port }) => namedPort(name, protocol, port));
  const addresses = spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? ''];
  return {
    clusterIps: headless || spec?.type === 'ExternalName' ? [] : addresses.filter((address) => parseIp(address)),
    externalName: spec?.type === 'ExternalName' ? spec.externalName?.toLowerCase().replace(/\.$/, '') : undefined,
    endpoints: headless ? slices.flatMap(endpointsOf) : [],
    ports: [...new Map(ports.map((port) => [`${port.name}/${port.protocol}/${port.port}`, port])).values()],
  };
}

const namedPort = (name: string | undefined, protocol: string | undefined, port: number | undefined): NamedPort => ({
  name: name ?? '',
  protocol: (protocol ?? 'TCP').toLowerCase(),
  port: port ?? 0,
});

function endpointsOf(slice: EndpointSlice): Endpoint[] {
  if (slice.addressType === 'FQDN') return [];
  return (slice.endpoints ?? []).flatMap(({ addresses, hostname, conditions }) => {
    // publishNotReadyAddresses is in the slice already: it makes every endpoint ready.
    const [address] = addresses;
    if (conditions?.ready === false || address === undefined) return [];
    return [{ hostname: hostname ?? address.replaceAll(/[.:]/g, '-'), addresses: [address] }];
  });
}
