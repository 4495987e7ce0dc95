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
  for (const container of spec.containers) addAll(total, container.resources?.[which]);
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

const QOS_RESOURCES = ['cpu', 'memory'] as const;

/** Guaranteed: every container limits CPU and memory, to what it requests. BestEffort: none names either. */
export function computeQosClass(spec: PodResourceShape): QosClass {
  const units =
    spec.resources !== undefined
      ? [{ resources: spec.resources }]
      : [...spec.containers, ...(spec.initContainers ?? [])];
  let namesAny = false;
  let isGuaranteed = true;
  for (const { resources } of units) {
    for (const name of QOS_RESOURCES) {
      const request = amountOf(resources?.requests, name);
      const limit = amountOf(resources?.limits, name);
      if (request !== undefined || limit !== undefined) namesAny = true;
      // Requests default to limits at admission, so that a limit alone is as good as both.
      if (limit === undefined || (request !== undefined && !request.equals(limit))) isGuaranteed = false;
    }
  }
  if (!namesAny) return 'BestEffort';
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}

function amountOf(list: ResourceList | undefined, name: string): Quantity | undefined {
  const text = list?.[name];
  if (text === undefined) return undefined;
  const amount = Quantity.parse(text);
  return amount.isZero ? undefined : amount;
}
