import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { type EndpointSlice, type Endpoints, resources, type Service } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { createControllerRef, isNamespaceTerminating } from '../controller-ref.ts';
import { packSlices, type SliceContent, SliceGroups } from './pack-slices.ts';
import { HEADLESS, MANAGED_BY } from './plan-slices.ts';
import type { EndpointPort } from './pod-endpoints.ts';
import { hasSelector } from './selecting-services.ts';
import { SliceWriter } from './slice-writer.ts';

const MANAGER = 'endpointslicemirroring-controller.k8s.io';
const SKIP_MIRROR = 'endpointslice.kubernetes.io/skip-mirror';
/** Old leader elections kept their lock in Endpoints; those serve nobody. */
const LEADER_LOCK = 'control-plane.alpha.kubernetes.io/leader';
const BY_MIRRORED = 'mirrored';
const MAX_ADDRESSES_PER_SUBSET = 1000;

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];

/** The same content in the new form. IPv4 and IPv6 addresses of one subset go to slices of their own. */
function computeMirroredGroups(endpoints: Endpoints): readonly SliceContent[] {
  const groups = new SliceGroups();
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of endpoints.subsets ?? []) {
    const slicePorts = ports.map((port): EndpointPort => ({ ...port, name: port.name ?? '' }));
    const add = ({ ip, hostname, nodeName, targetRef }: Address, ready: boolean) =>
      groups.add(ip.includes(':') ? 'IPv6' : 'IPv4', slicePorts, {
        addresses: [ip],
        conditions: { ready },
        ...(hostname ? { hostname } : {}),
        ...(nodeName ? { nodeName } : {}),
        ...(targetRef === undefined ? {} : { targetRef }),
      });
    const room = MAX_ADDRESSES_PER_SUBSET;
    for (const address of addresses.slice(0, room)) add(address, true);
    for (const address of notReadyAddresses.slice(0, Math.max(0, room - addresses.length))) add(address, false);
  }
  return groups.list();
}

function shouldMirror({ metadata }: Endpoints, service: Service | undefined): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    metadata.labels?.[SKIP_MIRROR] !== 'true' &&
    metadata.annotations?.[LEADER_LOCK] === undefined &&
    service !== undefined &&
    !hasSelector(service)
  );
}

/** Turns Endpoints that users keep for services without a selector into EndpointSlices, which is all that proxies read. */
class MirroringController {
  readonly #services: Informer<Service>;
  readonly #endpoints: Informer<Endpoints>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #writer: SliceWriter;

  constructor(context: ControllerContext) {
    this.#services = context.informers.informer<Service>(resources.services);
    this.#endpoints = context.informers.informer<Endpoints>(resources.endpoints);
    this.#slices = context.informers.informer<EndpointSlice>(resources.endpointSlices);
    this.#slices.addIndex(BY_MIRRORED, (slice) => (isOurs(slice) ? [ownerKeyOf(slice)] : []));
    this.#writer = new SliceWriter(context);
    this.#queue = createControllerQueue<ObjectKey>(context, {
      name: 'endpointslice-mirroring',
      sync: (key) => this.#sync(key),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    const enqueue = (object: Endpoints | Service) => this.#queue.add(keyOf(object));
    this.#endpoints.addHandler({
      onAdd: enqueue,
      onUpdate: (_, endpoints) => enqueue(endpoints),
      onDelete: (endpoints) => {
        this.#writer.forget(keyOf(endpoints));
        enqueue(endpoints);
      },
    });
    this.#services.addHandler({
      onAdd: enqueue,
      onUpdate: (previous, service) => {
        if (hasSelector(previous) !== hasSelector(service)) enqueue(service);
      },
      onDelete: enqueue,
    });
    const enqueueOwner = (slice: EndpointSlice) => {
      if (isOurs(slice)) this.#queue.add(ownerKeyOf(slice));
    };
    this.#slices.addHandler({
      onAdd: (slice) => {
        if (isOurs(slice)) this.#writer.onCreated(ownerKeyOf(slice));
        enqueueOwner(slice);
      },
      onUpdate: (_, slice) => enqueueOwner(slice),
      onDelete: enqueueOwner,
    });
    return runQueue(this.#queue, [this.#services, this.#endpoints, this.#slices], signal);
  }

  async #sync(key: ObjectKey): Promise<void> {
    if (!this.#writer.isCacheCurrent(key)) return;
    const endpoints = this.#endpoints.byKey(key);
    const existing = this.#slices.byIndex(BY_MIRRORED, key);
    if (endpoints === undefined || !shouldMirror(endpoints, this.#services.byKey(key)))
      return this.#writer.apply(key, { create: [], update: [], delete: existing }, {});
    const labels = computeLabels(endpoints);
    const plan = packSlices({ groups: computeMirroredGroups(endpoints), existing, labels, placeholders: [] });
    const { name, namespace } = endpoints.metadata;
    try {
      const ownerReferences = [createControllerRef(resources.endpoints, endpoints)];
      await this.#writer.apply(key, plan, { generateName: `${name}-`, namespace, labels, ownerReferences });
    } catch (err) {
      if (!isNamespaceTerminating(err)) throw err;
    }
  }
}

const isOurs = ({ metadata }: EndpointSlice) => metadata.labels?.[MANAGED_BY] === MANAGER;
const ownerKeyOf = ({ metadata }: EndpointSlice) =>
  objectKey(metadata.namespace, metadata.labels?.[SERVICE_NAME_LABEL] ?? '');

function computeLabels({ metadata }: Endpoints): Record<string, string> {
  const { [HEADLESS]: _, [SKIP_MIRROR]: __, ...own } = metadata.labels ?? {};
  return { ...own, [SERVICE_NAME_LABEL]: metadata.name, [MANAGED_BY]: MANAGER };
}

export function startMirroringController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new MirroringController(context).run(signal);
}
