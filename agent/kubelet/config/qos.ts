import type { Pod } from '#api/object/kinds.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { amountOf, type ResourceMap } from './resource-amounts.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const isSet = (resources: ResourceMap | undefined, name: string) => {
  const quantity = resources?.[name];
  return quantity !== undefined && amountOf(quantity) > 0;
};

/** Kubernetes' rule over cpu and memory: Guaranteed = every container has limits equal to its requests; BestEffort = nothing is set. */
export function qosClassOf(pod: Pod): QosClass {
  const known = pod.status?.qosClass;
  if (known === 'Guaranteed' || known === 'Burstable' || known === 'BestEffort') return known;
  const podLevel = specOf(pod).resources;
  const holders = podLevel === undefined ? allContainers(pod).map((container) => container.resources) : [podLevel];
  let isAnySet = false;
  let isGuaranteed = true;
  for (const holder of holders) {
    for (const name of ['cpu', 'memory']) {
      const hasLimit = isSet(holder?.limits, name);
      const hasRequest = isSet(holder?.requests, name);
      isAnySet ||= hasLimit || hasRequest;
      const request = hasRequest ? amountOf(holder?.requests?.[name] ?? 0) : amountOf(holder?.limits?.[name] ?? 0);
      if (!hasLimit || request !== amountOf(holder?.limits?.[name] ?? 0)) isGuaranteed = false;
    }
  }
  if (!isAnySet) return 'BestEffort';
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}
