import { Quantity } from './quantity.ts';

/** Amounts by resource name. */
export type ResourceList = Readonly<Record<string, string | number>>;
export type Resources = ReadonlyMap<string, Quantity>;
export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

interface ResourceRequirements {
  readonly requests?: ResourceList;
  readonly limits?: ResourceList;
}

interface ContainerShape {
  readonly resources?: ResourceRequirements;
  readonly restartPolicy?: string;
}

/** The parts of a PodSpec that decide what the pod needs. */
export interface PodResourceShape {
  readonly containers: readonly ContainerShape[];
  readonly initContainers?: readonly ContainerShape[];
  readonly overhead?: ResourceList;
  /** Pod-level resources: they take the place of the sum for the resources they name. */
  readonly resources?: ResourceRequirements;
}

interface NamedContainerShape extends ContainerShape {
  readonly name?: string;
}

/** What a node has told of a container's size. */
interface SizedStatus {
  readonly name: string;
  readonly allocatedResources?: ResourceList;
  readonly resources?: ResourceRequirements;
}

/** The parts of a Pod that say what has to be reckoned with. */
export interface SizedPod {
  readonly spec?: object;
  readonly status?: {
    readonly containerStatuses?: readonly object[];
    readonly initContainerStatuses?: readonly object[];
    readonly conditions?: readonly { readonly type: string; readonly reason?: string }[];
  };
}

/**
 * The pod as others must reckon with it while its node resizes it: of each container the largest of what it asks for, what the node has
 * set aside for it, and what it has. What the node can never grant does not count.
 */
export function reservedShape({ spec, status }: SizedPod): PodResourceShape {
  const shape = (spec ?? { containers: [] }) as PodResourceShape;
  const told = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])] as SizedStatus[];
  const sizes = new Map(told.filter(({ resources }) => resources !== undefined).map((one) => [one.name, one]));
  if (sizes.size === 0) return shape;
  const isInfeasible = (status?.conditions ?? []).some(
    ({ type, reason }) => type === 'PodResizePending' && reason === 'Infeasible',
  );
  const reserve = (container: NamedContainerShape): ContainerShape => {
    const size = sizes.get(container.name ?? '');
    if (size === undefined) return container;
    const asked = isInfeasible ? undefined : container.resources;
    const requests = largest(asked?.requests, size.resources?.requests, size.allocatedResources);
    return { ...container, resources: { requests, limits: largest(asked?.limits, size.resources?.limits) } };
  };
  const { containers = [], initContainers } = shape;
  return {
    ...shape,
    containers: containers.map(reserve),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(reserve) }),
  };
}

function largest(...lists: readonly (ResourceList | undefined)[]): ResourceList {
  const found: Record<string, string | number> = {};
  for (const list of lists) {
    for (const [name, amount] of Object.entries(list ?? {})) {
      const known = found[name];
      if (known === undefined || (known !== amount && Quantity.parse(known).compare(Quantity.parse(amount)) < 0)) {
        found[name] = amount;
      }
    }
  }
  return found;
}

export interface PodResourceOptions {
  /** Adds `spec.overhead`; on by default, as the scheduler counts. */
  readonly withOverhead?: boolean;
}

/**
 * What the scheduler and the node reserve for a pod: the larger of all app containers with their sidecars, and the peak while the
 * init containers run one after another beside the sidecars started before them.
 */
export function podRequests(spec: PodResourceShape, options: PodResourceOptions = {}): Resources {
  return effective(spec, 'requests', options);
}

/** The same rule for limits. A resource without a limit in some container has no limit for the pod; callers who care must check. */
export function podLimits(spec: PodResourceShape, options: PodResourceOptions = {}): Resources {
  return effective(spec, 'limits', options);
}

const isSidecar = (container: ContainerShape) => container.restartPolicy === 'Always';

function effective(spec: PodResourceShape, which: 'requests' | 'limits', options: PodResourceOptions): Resources {
  const total = new Map<string, Quantity>();
  // Asked before validation too, which is what insists on containers.
  for (const container of spec.containers ?? []) addAll(total, container.resources?.[which]);
  const sidecars = new Map<string, Quantity>();
  const initPeak = new Map<string, Quantity>();
  for (const container of spec.initContainers ?? []) {
    const own = container.resources?.[which];
    if (isSidecar(container)) {
      addAll(total, own);
      addAll(sidecars, own);
      raiseAll(initPeak, sidecars);
    } else {
      const running = new Map(sidecars);
      addAll(running, own);
      raiseAll(initPeak, running);
    }
  }
  raiseAll(total, initPeak);
  for (const [name, amount] of Object.entries(spec.resources?.[which] ?? {})) total.set(name, Quantity.parse(amount));
  if (options.withOverhead !== false) addOverhead(total, spec.overhead, which);
  return total;
}

/** Overhead adds to a limit only where there is one. */
function addOverhead(
  total: Map<string, Quantity>,
  overhead: ResourceList | undefined,
  which: 'requests' | 'limits',
): void {
  for (const [name, amount] of Object.entries(overhead ?? {})) {
    const current = total.get(name);
    if (which === 'requests') total.set(name, (current ?? Quantity.zero).add(Quantity.parse(amount)));
    else if (current !== undefined && !current.isZero) total.set(name, current.add(Quantity.parse(amount)));
  }
}

function addAll(total: Map<string, Quantity>, list: ResourceList | undefined): void {
  if (list === undefined) return;
  for (const name of Object.keys(list)) {
    const amount = Quantity.parse(list[name]!);
    const current = total.get(name);
    total.set(name, current === undefined ? amount : current.add(amount));
  }
}

function raiseAll(total: Map<string, Quantity>, list: Resources): void {
  for (const [name, amount] of list) {
    const current = total.get(name);
    if (current === undefined || current.compare(amount) < 0) total.set(name, amount);
  }
}

/** Only these two decide the class. */
const QOS_RESOURCES = ['cpu', 'memory'] as const;

/**
 * The class that decides who is evicted and killed first. Guaranteed: every container limits CPU and memory, to what it requests.
 * BestEffort: no amount is above zero. Pod-level resources, even empty ones, speak for all containers.
 */
export function computeQosClass(spec: PodResourceShape): QosClass {
  const units = spec.resources ? [spec] : [...spec.containers, ...(spec.initContainers ?? [])];
  const all = units.map(({ resources }) => resources ?? {});
  if (all.every(isUnset)) return 'BestEffort';
  return all.every(isFullyReserved) ? 'Guaranteed' : 'Burstable';
}

function isUnset({ limits, requests }: ResourceRequirements): boolean {
  return QOS_RESOURCES.every((name) => amountOf(limits, name).isZero && amountOf(requests, name).isZero);
}

/** Requests default to limits at admission, so that a limit alone is as good as both. */
function isFullyReserved({ limits, requests }: ResourceRequirements): boolean {
  return QOS_RESOURCES.every((name) => {
    const limit = amountOf(limits, name);
    return !limit.isZero && (requests?.[name] === undefined || amountOf(requests, name).equals(limit));
  });
}

function amountOf(list: ResourceList | undefined, name: string): Quantity {
  const text = list?.[name];
  return text === undefined ? Quantity.zero : Quantity.parse(text);
}

/** CPU in milli-cores, as the kernel's shares and quotas are computed from; 0 when it is not named. Throws QuantityError. */
export const milliCpuOf = (list: ResourceList | undefined): number => amountOf(list, 'cpu').milliValue();

/** Memory in bytes; 0 when it is not named. Throws QuantityError. */
export const memoryBytesOf = (list: ResourceList | undefined): number => amountOf(list, 'memory').value();
