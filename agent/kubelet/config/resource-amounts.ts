import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { isSidecar, specOf } from '../pod-spec.ts';

type Quantity = string | number;
export type ResourceMap = Readonly<Record<string, Quantity>>;

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/**
 * A quantity as a plain number: enough for what the kernel is told (bytes, milli-cores), where 53 bits do. The API server has validated
 * the text; anything else throws.
 */
export function amountOf(quantity: Quantity): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+))?(n|u|m|k|[KMGTPE]i|[MGTPE])?$/.exec(String(quantity));
  if (match === null) throw new Error(`invalid quantity ${JSON.stringify(quantity)}`);
  const [, digits = '0', exponent = '0', suffix = ''] = match;
  return Number(`${digits}e${exponent}`) * (SUFFIXES[suffix] ?? 1);
}

/** Rounded up, with a tolerance for binary fractions (0.1 core is 100 milli-cores, not 101). */
export const ceilAmount = (amount: number): number => Math.ceil(amount - 1e-6);

export function milliCpuOf(resources: ResourceMap | undefined): number {
  const quantity = resources?.cpu;
  return quantity === undefined ? 0 : ceilAmount(amountOf(quantity) * 1000);
}

export function bytesOf(resources: ResourceMap | undefined, name = 'memory'): number {
  const quantity = resources?.[name];
  return quantity === undefined ? 0 : ceilAmount(amountOf(quantity));
}

/**
 * What a pod takes from its node: the regular containers and sidecars together, or an init container with the sidecars started before
 * it where that is more; plus overhead.
 */
export function podRequest(pod: Pod, name: string): number {
  const spec = specOf(pod);
  const request = (container: IContainer) => {
    const quantity = container.resources?.requests?.[name] ?? container.resources?.limits?.[name];
    return quantity === undefined ? 0 : amountOf(quantity);
  };
  let sidecars = 0;
  let initPeak = 0;
  for (const container of spec.initContainers ?? []) {
    if (isSidecar(container)) sidecars += request(container);
    initPeak = Math.max(initPeak, sidecars + (isSidecar(container) ? 0 : request(container)));
  }
  const regular = spec.containers.reduce((sum, container) => sum + request(container), sidecars);
  const overhead = spec.overhead?.[name];
  const podLevel = spec.resources?.requests?.[name];
  const total = podLevel === undefined ? Math.max(regular, initPeak) : amountOf(podLevel);
  return total + (overhead === undefined ? 0 : amountOf(overhead));
}
