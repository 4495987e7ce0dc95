import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { type EndpointSlice, type Node, type Pod, resources, type Service } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import { describeError } from '#base/errors.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { createControllerRef, isNamespaceTerminating } from '../controller-ref.ts';
import { computeLabels, MANAGED_BY, MANAGER, planSlices } from './plan-slices.ts';
import { hasSelector, selects, watchSelectedPods } from './selecting-services.ts';
import { SliceWriter } from './slice-writer.ts';

const BY_SERVICE = 'service';
const ZONE = 'topology.kubernetes.io/zone';

const serviceKeyOf = ({ metadata }: EndpointSlice) =>
  objectKey(metadata.namespace, metadata.labels?.[SERVICE_NAME_LABEL] ?? '');
const isOurs = ({ metadata }: EndpointSlice) => metadata.labels?.[MANAGED_BY] === MANAGER;

class EndpointSliceController {
  readonly #context: ControllerContext;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #writer: SliceWriter;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#services = context.informers.informer<Service>(resources.services);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#nodes = context.informers.informer<Node>(resources.nodes);
    this.#slices = context.informers.informer<EndpointSlice>(resources.endpointSlices);
    this.#slices.addIndex(BY_SERVICE, (slice) => (isOurs(slice) ? [serviceKeyOf(slice)] : []));
    this.#writer = new SliceWriter(context);
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'endpointslice', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#services.addHandler({
      onAdd: (service) => this.#queue.add(keyOf(service)),
      onUpdate: (_, service) => this.#queue.add(keyOf(service)),
      onDelete: (service) => this.#writer.forget(keyOf(service)),
    });
    watchSelectedPods(this.#pods, this.#services, (service) => this.#queue.add(keyOf(service)));
    this.#nodes.addHandler({
      onAdd: (node, isInitial) => {
        if (!isInitial && node.metadata.labels?.[ZONE] !== undefined) this.#enqueueAll();
      },
      onUpdate: (previous, node) => {
        if (previous.metadata.labels?.[ZONE] !== node.metadata.labels?.[ZONE]) this.#enqueueAll();
      },
    });
    this.#slices.addHandler({
      onAdd: (slice) => {
        if (isOurs(slice)) this.#writer.onCreated(serviceKeyOf(slice));
        this.#enqueueServiceOf(slice);
      },
      onUpdate: (previous, slice) => {
        this.#enqueueServiceOf(slice);
        if (serviceKeyOf(previous) !== serviceKeyOf(slice)) this.#enqueueServiceOf(previous);
      },
      onDelete: (slice) => this.#enqueueServiceOf(slice),
    });
    return runQueue(this.#queue, [this.#services, this.#pods, this.#nodes, this.#slices], signal);
  }

  #enqueueAll(): void {
    for (const service of this.#services.list()) this.#queue.add(keyOf(service));
  }

  #enqueueServiceOf(slice: EndpointSlice): void {
    if (isOurs(slice)) this.#queue.add(serviceKeyOf(slice));
  }

  async #sync(key: ObjectKey): Promise<void> {
    const service = this.#services.byKey(key);
    // The slices of a deleted service go with it, through their ownerReference.
    if (service === undefined || service.metadata.deletionTimestamp !== undefined) return;
    if (!hasSelector(service) || !this.#writer.isCacheCurrent(key)) return;
    const plan = planSlices({
      service,
      pods: this.#pods.list(service.metadata.namespace).filter((pod) => selects(service, pod)),
      existing: this.#slices.byIndex(BY_SERVICE, key).filter((slice) => slice.metadata.deletionTimestamp === undefined),
      nodeOf: (name) => this.#nodes.byKey(objectKey(undefined, name)),
    });
    try {
      await this.#writer.apply(key, plan, {
        generateName: `${service.metadata.name}-`,
        namespace: service.metadata.namespace,
        labels: computeLabels(service),
        ownerReferences: [createControllerRef(resources.services, service)],
      });
    } catch (err) {
      const subject = { apiVersion: 'v1', kind: 'Service', metadata: service.metadata };
      const message = `Error updating Endpoint Slices for Service ${key}: ${describeError(err)}`;
      if (isNamespaceTerminating(err)) return;
      this.#context.events.record(subject, 'Warning', 'FailedToUpdateEndpointSlices', message);
      throw err;
    }
  }
}

export function startEndpointSliceController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new EndpointSliceController(context).run(signal);
}
