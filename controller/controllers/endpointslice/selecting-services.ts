import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import { type LabelSelector, nothing, selectorFromLabels } from '#api/meta/label-selector.ts';
import type { Pod, Service } from '#api/object/kinds.ts';
import { isPodReady, isPodTerminal } from '../pod-state.ts';

/** Services that have endpoints of their own making: those with a selector. */
export function hasSelector(service: Service): boolean {
  return service.spec?.type !== 'ExternalName' && Object.keys(service.spec?.selector ?? {}).length > 0;
}

/** Compiled once per version of a service: every change of a pod asks every service of its namespace. */
const compiled = new WeakMap<Service, LabelSelector>();

export function selects(service: Service, pod: Pod): boolean {
  let selector = compiled.get(service);
  if (selector === undefined) {
    selector = hasSelector(service) ? selectorFromLabels(service.spec?.selector) : nothing;
    compiled.set(service, selector);
  }
  return selector.matches(pod.metadata.labels);
}

/** What a pod means to services; other changes of it (most of them) are none of their business. */
function facts(pod: Pod): unknown {
  return [
    pod.metadata.labels,
    pod.metadata.deletionTimestamp !== undefined,
    pod.status?.podIPs ?? pod.status?.podIP,
    pod.spec?.nodeName,
    isPodReady(pod),
    isPodTerminal(pod),
  ];
}

/** Calls `enqueue` with every service whose endpoints a change of a pod may touch. */
export function watchSelectedPods(
  pods: Informer<Pod>,
  services: Informer<Service>,
  enqueue: (service: Service) => void,
): void {
  const touch = (...states: readonly Pod[]) => {
    for (const service of services.list(states[0]?.metadata.namespace))
      if (states.some((pod) => selects(service, pod))) enqueue(service);
  };
  pods.addHandler({
    onAdd: (pod) => touch(pod),
    onUpdate: (previous, pod) => {
      if (!isDeepStrictEqual(facts(previous), facts(pod))) touch(previous, pod);
    },
    onDelete: (pod) => touch(pod),
  });
}
