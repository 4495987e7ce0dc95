import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';

/** What a check looks at: a pod, or the template of one. */
export interface PodShape {
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: IPodSpec;
}

/** Why a pod does not meet a check: in a word or two, and by what. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export type CheckPod = (pod: PodShape) => Violation | undefined;

/** One control of the Pod Security Standards through the versions of Kubernetes. */
export interface Check {
  readonly id: string;
  /** From which minor version on which rule holds, ascending. */
  readonly versions: readonly (readonly [minMinor: number, check: CheckPod])[];
  /** Checks of the baseline that this stricter one stands in for. */
  readonly overrides?: readonly string[];
}

export const quoteAll = (names: Iterable<string>): string => [...names].map((name) => JSON.stringify(name)).join(', ');

export const sorted = (values: Iterable<string>): string[] => [...new Set(values)].sort();

export const plural = (count: number, one: string, many = `${one}s`): string => (count === 1 ? one : many);

/** `container "a"`, `containers "a", "b"`. */
export const namedContainers = (names: readonly string[]): string =>
  `${plural(names.length, 'container')} ${quoteAll(names)}`;

/** Every container of the pod, in the order in which they start. */
export function containersOf({ initContainers, containers, ephemeralContainers }: IPodSpec): readonly IContainer[] {
  return [...(initContainers ?? []), ...(containers ?? []), ...((ephemeralContainers ?? []) as IContainer[])];
}

/** Names of the containers that `isBad` says of. */
export const badContainers = (spec: IPodSpec, isBad: (container: IContainer) => boolean): readonly string[] =>
  containersOf(spec)
    .filter(isBad)
    .map(({ name }) => name);

/** `pod and containers "a", "b"`; '' when nobody set it. */
export function settersOf(isPodBad: boolean, containers: readonly string[]): string {
  const setters = isPodBad ? ['pod'] : [];
  if (containers.length > 0) setters.push(namedContainers(containers));
  return setters.join(' and ');
}
