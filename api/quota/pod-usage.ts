import type { IContainer } from 'kubernetes-models/v1/Container';
import { DEVICE_CLASS_PREFIX } from '../meta/extended-resources.ts';
import {
  computeQosClass,
  type PodResourceShape,
  podLimits,
  podRequests,
  reservedShape,
} from '../meta/pod-resources.ts';
import type { Quantity } from '../meta/quantity.ts';
import type { Pod } from '../object/kinds.ts';
import { type Amounts, addAmounts, ONE, parseAmounts } from './amounts.ts';

/** Resources that quotas know under a plain name besides `requests.` and `limits.`. */
const NATIVE = ['cpu', 'memory', 'ephemeral-storage'];
const HUGE_PAGES = 'hugepages-';

const COMPUTE: ReadonlySet<string> = new Set([
  'count/pods',
  'pods',
  ...NATIVE,
  ...NATIVE.map((name) => `requests.${name}`),
  ...NATIVE.map((name) => `limits.${name}`),
]);

const isExtended = (name: string): boolean =>
  name.startsWith(DEVICE_CLASS_PREFIX) || (name.includes('/') && !/(^|\.)kubernetes\.io\//.test(name));

export function isPodResource(name: string): boolean {
  if (COMPUTE.has(name) || name.startsWith(HUGE_PAGES) || name.startsWith(`requests.${HUGE_PAGES}`)) return true;
  return name.startsWith('requests.') && isExtended(name.slice('requests.'.length));
}

/** A pod that has come to its end, or whose time to end is over, holds nothing but its place in the store. */
function isAlive({ status, metadata }: Pod, nowMs: number): boolean {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return true;
  // The time stamp says when the grace ends.
  return Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000 > nowMs;
}

function computeUsage(requests: Amounts, limits: Amounts): Amounts {
  const usage = new Map<string, Quantity>([['pods', ONE]]);
  for (const [name, amount] of requests) {
    if (NATIVE.includes(name) || name.startsWith(HUGE_PAGES)) usage.set(name, amount);
    if (NATIVE.includes(name) || name.startsWith(HUGE_PAGES) || isExtended(name)) usage.set(`requests.${name}`, amount);
  }
  for (const name of NATIVE) {
    const limit = limits.get(name);
    if (limit !== undefined) usage.set(`limits.${name}`, limit);
  }
  return usage;
}

export function podUsage(pod: Pod, nowMs: number): Amounts {
  const counted: Amounts = new Map([['count/pods', ONE]]);
  if (pod.spec === undefined || !isAlive(pod, nowMs)) return counted;
  const shape = reservedShape(pod);
  return addAmounts(counted, computeUsage(podRequests(shape), podLimits(shape)));
}

/** A quota of one of these obliges every container to name it: so it was before there were QoS classes. */
const OBLIGING: ReadonlySet<string> = new Set(
  ['cpu', 'memory'].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]),
);

/** Why the pod cannot be counted against `required`, in the words of Kubernetes; undefined when it can. */
export function missingRequirements({ spec }: Pod, required: readonly string[]): string | undefined {
  // Pod-level resources speak for all containers.
  if (spec === undefined || Object.keys(spec.resources ?? {}).length > 0) return undefined;
  const missing = new Map<string, string[]>();
  for (const { name, resources } of [...spec.containers, ...(spec.initContainers ?? [])] as IContainer[]) {
    const usage = computeUsage(parseAmounts(resources?.requests), parseAmounts(resources?.limits));
    for (const wanted of required) {
      if (OBLIGING.has(wanted) && !usage.has(wanted)) missing.set(wanted, [...(missing.get(wanted) ?? []), name]);
    }
  }
  if (missing.size === 0) return undefined;
  const lines = [...missing].sort(([a], [b]) => (a < b ? -1 : 1));
  return `must specify ${lines.map(([resource, names]) => `${resource} for: ${names.sort().join(',')}`).join('; ')}`;
}

/** A pod with a deadline of its own, in the words of quota scopes. */
export const isTerminatingScope = ({ spec }: Pod): boolean => (spec?.activeDeadlineSeconds ?? -1) >= 0;

export interface ScopeRequirement {
  readonly scopeName: string;
  readonly operator?: string;
  readonly values?: readonly string[];
}

export function podMatchesScope(pod: Pod, requirement: ScopeRequirement): boolean {
  switch (requirement.scopeName) {
    case 'Terminating':
      return isTerminatingScope(pod);
    case 'NotTerminating':
      return !isTerminatingScope(pod);
    case 'BestEffort':
      return isBestEffort(pod);
    case 'NotBestEffort':
      return !isBestEffort(pod);
    case 'PriorityClass':
      return matchesValue(pod.spec?.priorityClassName, requirement);
    case 'CrossNamespacePodAffinity':
      return usesOtherNamespaces(pod);
    default:
      return false;
  }
}

const isBestEffort = ({ spec }: Pod): boolean =>
  spec !== undefined && computeQosClass(spec as unknown as PodResourceShape) === 'BestEffort';

/** A name that an object may lack against a selector of names. */
export function matchesValue(value: string | undefined, { operator, values = [] }: ScopeRequirement): boolean {
  const isSet = value !== undefined && value !== '';
  switch (operator) {
    case 'In':
      return isSet && values.includes(value);
    case 'NotIn':
      return !isSet || !values.includes(value);
    case 'DoesNotExist':
      return !isSet;
    default:
      return isSet;
  }
}

interface Term {
  readonly namespaces?: readonly string[];
  readonly namespaceSelector?: unknown;
}

function usesOtherNamespaces({ spec }: Pod): boolean {
  const { podAffinity, podAntiAffinity } = spec?.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ]) as readonly Term[];
  return terms.some(({ namespaces, namespaceSelector }) => namespaces?.length || namespaceSelector !== undefined);
}
