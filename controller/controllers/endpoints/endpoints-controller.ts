import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Endpoints, type Pod, resources, type Service } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, splitKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { isNamespaceTerminating } from '../controller-ref.ts';
import { isHeadless } from '../endpointslice/pod-endpoints.ts';
import { hasSelector, selects, watchSelectedPods } from '../endpointslice/selecting-services.ts';
import { computeSubsets } from './compute-subsets.ts';

const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const MANAGER = 'endpoint-controller';
const HEADLESS = 'service.kubernetes.io/headless';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

/** Keeps the deprecated v1 Endpoints object of every service with a selector: `kubectl get endpoints` and old clients read it. */
class EndpointsController {
  readonly #context: ControllerContext;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #endpoints: Informer<Endpoints>;
  readonly #queue: WorkQueue<ObjectKey>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#services = context.informers.informer<Service>(resources.services);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#endpoints = context.informers.informer<Endpoints>(resources.endpoints);
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'endpoint', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#services.addHandler({
      onAdd: (service) => this.#queue.add(keyOf(service)),
      onUpdate: (_, service) => this.#queue.add(keyOf(service)),
      onDelete: (service) => this.#queue.add(keyOf(service)),
    });
    watchSelectedPods(this.#pods, this.#services, (service) => this.#queue.add(keyOf(service)));
    this.#endpoints.addHandler({
      // Left over from a service that was deleted while nobody looked.
      onAdd: (endpoints) => this.#queue.add(keyOf(endpoints)),
      onUpdate: (_, endpoints) => this.#queue.add(keyOf(endpoints)),
      onDelete: (endpoints) => this.#queue.add(keyOf(endpoints)),
    });
    return runQueue(this.#queue, [this.#services, this.#pods, this.#endpoints], signal);
  }

  async #sync(key: ObjectKey): Promise<void> {
    const service = this.#services.byKey(key);
    const current = this.#endpoints.byKey(key);
    if (service === undefined) return this.#deleteLeftover(key, current);
    if (!hasSelector(service) || service.metadata.deletionTimestamp !== undefined) return;
    const pods = this.#pods.list(service.metadata.namespace).filter((pod) => selects(service, pod));
    const { subsets, isTruncated } = computeSubsets(service, pods);
    const labels = computeLabels(service);
    const { [OVER_CAPACITY]: _, ...others } = current?.metadata.annotations ?? {};
    const annotations = isTruncated ? { ...others, [OVER_CAPACITY]: 'truncated' } : others;
    const client = this.#context.client.resource<Endpoints>(resources.endpoints);
    if (current === undefined) return this.#create(service, { labels, annotations, subsets: [...subsets] });
    const isSame =
      isDeepStrictEqual(current.subsets ?? [], subsets) &&
      isDeepStrictEqual(current.metadata.labels ?? {}, labels) &&
      isDeepStrictEqual(current.metadata.annotations ?? {}, annotations);
    if (isSame) return;
    const metadata = { ...current.metadata, labels, annotations };
    await client.update({ ...current, metadata, subsets: [...subsets] });
  }

  async #create(
    service: Service,
    {
      labels,
      annotations,
      subsets,
    }: Pick<Endpoints, 'subsets'> & Record<'labels' | 'annotations', Record<string, string>>,
  ): Promise<void> {
    const { name, namespace } = service.metadata;
    try {
      await this.#context.client
        .resource<Endpoints>(resources.endpoints)
        .create({ metadata: { name, namespace, labels, annotations }, subsets });
    } catch (err) {
      if (!isNamespaceTerminating(err)) throw err;
    }
  }

  /** Only ours: users and other controllers keep Endpoints without a service, too. */
  async #deleteLeftover(key: ObjectKey, current: Endpoints | undefined): Promise<void> {
    if (current?.metadata.labels?.[MANAGED_BY] !== MANAGER) return;
    const { name, namespace } = splitKey(key);
    try {
      const preconditions = { uid: current.metadata.uid };
      await this.#context.client.resource<Endpoints>(resources.endpoints).delete({ name, namespace, preconditions });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}

function computeLabels(service: Service): Record<string, string> {
  const { [HEADLESS]: _, ...own } = service.metadata.labels ?? {};
  return { ...own, [MANAGED_BY]: MANAGER, ...(isHeadless(service) ? { [HEADLESS]: '' } : {}) };
}

export function startEndpointsController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new EndpointsController(context).run(signal);
}
