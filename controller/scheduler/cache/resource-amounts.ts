import { type PodResourceShape, podRequests, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';

/** Amounts as plain numbers: a scheduling cycle adds and compares them hundreds of times. */
export interface ResourceAmounts {
  readonly milliCpu: number;
  /** Bytes. */
  readonly memory: number;
  /** Bytes. */
  readonly ephemeralStorage: number;
  /** Extended resources and huge pages, by name; whole units. */
  readonly scalars: ReadonlyMap<string, number>;
}

/** What a container without requests is taken to use when nodes are scored, so that such pods spread too. */
const DEFAULT_REQUESTS = { cpu: '100m', memory: '200Mi' } as const;

const NO_SCALARS: ReadonlyMap<string, number> = new Map();

export const NO_AMOUNTS: ResourceAmounts = { milliCpu: 0, memory: 0, ephemeralStorage: 0, scalars: NO_SCALARS };

const NAMED = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

function amountsOf(quantities: Iterable<readonly [string, Quantity]>): ResourceAmounts {
  const amounts = { milliCpu: 0, memory: 0, ephemeralStorage: 0 };
  let scalars: Map<string, number> | undefined;
  for (const [name, quantity] of quantities) {
    if (name === 'cpu') amounts.milliCpu = quantity.milliValue();
    else if (name === 'memory') amounts.memory = quantity.value();
    else if (name === 'ephemeral-storage') amounts.ephemeralStorage = quantity.value();
    else if (!NAMED.has(name)) {
      scalars ??= new Map();
      scalars.set(name, quantity.value());
    }
  }
  return { ...amounts, scalars: scalars ?? NO_SCALARS };
}

/** Reads `status.allocatable` and its like. Throws QuantityError for what validation should have refused. */
export function amountsOfList(list: ResourceList | undefined): ResourceAmounts {
  return amountsOf(Object.entries(list ?? {}).map(([name, value]) => [name, Quantity.parse(value)] as const));
}

export function requestsOf(spec: PodResourceShape): ResourceAmounts {
  return amountsOf(podRequests(spec));
}

/** Requests for scoring, with the defaults for containers that name none. */
export function nonZeroRequestsOf(spec: PodResourceShape): { readonly milliCpu: number; readonly memory: number } {
  const withDefaults = (container: PodResourceShape['containers'][number]) => ({
    ...container,
    resources: { ...container.resources, requests: { ...DEFAULT_REQUESTS, ...container.resources?.requests } },
  });
  const { milliCpu, memory } = requestsOf({
    ...spec,
    containers: spec.containers.map(withDefaults),
    initContainers: (spec.initContainers ?? []).map(withDefaults),
  });
  return { milliCpu, memory };
}
