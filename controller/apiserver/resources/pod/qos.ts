import { Quantity } from '#api/meta/quantity.ts';
import type { PodSpec } from './pod-types.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** Only these two decide the class. */
const RESOURCES = ['cpu', 'memory'] as const;

interface Resources {
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly requests?: Readonly<Record<string, unknown>>;
}

const amount = (list: Readonly<Record<string, unknown>> | undefined, name: string): Quantity => {
  const value = list?.[name] as string | number | undefined;
  return value === undefined ? Quantity.zero : Quantity.parse(value);
};

function isUnset(resources: Resources): boolean {
  return RESOURCES.every((name) => amount(resources.limits, name).isZero && amount(resources.requests, name).isZero);
}

/** Limits for both, and requests equal to them (absent requests have been defaulted from the limits). */
function isFullyReserved({ limits, requests }: Resources): boolean {
  return RESOURCES.every((name) => {
    const limit = amount(limits, name);
    const request = requests?.[name] === undefined ? limit : amount(requests, name);
    return !limit.isZero && request.equals(limit);
  });
}

/** The class that decides who is evicted first. Pod-level resources, where given, speak for all containers. */
export function computeQosClass(spec: PodSpec): QosClass {
  const podLevel = spec.resources as Resources | undefined;
  const all: Resources[] =
    podLevel !== undefined && !isUnset(podLevel)
      ? [podLevel]
      : [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map((c) => (c.resources ?? {}) as Resources);
  if (all.every(isUnset)) return 'BestEffort';
  return all.every(isFullyReserved) ? 'Guaranteed' : 'Burstable';
}
