import type { Informer } from '#api/client/informer.ts';
import {
  type LabelSelector,
  type LabelSelectorObject,
  labelSelectorFrom,
  selectorFromLabels,
} from '#api/meta/label-selector.ts';
import type { ReplicaSet, Service } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import type { PodInfo } from './pod-info.ts';

export interface Siblings {
  readonly selector: LabelSelector;
  /** Names the selector in caches. */
  readonly selectorId: string;
}

/** Answers are kept until a Service or ReplicaSet changes; more than this many would be pods that all differ. */
const MAX_REMEMBERED = 2_000;

/**
 * Finds the pods that a pod belongs with: those of the Services that select it and of its ReplicaSet. They are what pods are spread
 * against where they say nothing themselves.
 */
export class SiblingSelectors {
  readonly #services: Informer<Service>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #known = new Map<string, Siblings | undefined>();

  constructor(services: Informer<Service>, replicaSets: Informer<ReplicaSet>) {
    this.#services = services;
    this.#replicaSets = replicaSets;
    const forget = () => this.#known.clear();
    services.addHandler({
      onAdd: forget,
      onDelete: forget,
      onUpdate: (previous, current) => {
        if (JSON.stringify(previous.spec?.selector) !== JSON.stringify(current.spec?.selector)) forget();
      },
    });
    // A ReplicaSet's selector never changes.
    replicaSets.addHandler({ onAdd: forget, onDelete: forget });
  }

  of(pod: PodInfo): Siblings | undefined {
    const owner = pod.pod.metadata.ownerReferences?.find((reference) => reference.controller === true);
    const id = JSON.stringify([pod.namespace, owner?.uid ?? '', pod.labels]);
    if (this.#known.has(id)) return this.#known.get(id);
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    const siblings = this.#find(pod, owner?.kind === 'ReplicaSet' ? owner.name : undefined);
    this.#known.set(id, siblings);
    return siblings;
  }

  #find(pod: PodInfo, replicaSetName: string | undefined): Siblings | undefined {
    const matchLabels: Record<string, string> = {};
    for (const service of this.#services.list(pod.namespace)) {
      const selector = service.spec?.selector;
      if (
        selector !== undefined &&
        Object.keys(selector).length > 0 &&
        selectorFromLabels(selector).matches(pod.labels)
      ) {
        Object.assign(matchLabels, selector);
      }
    }
    const replicaSet =
      replicaSetName === undefined ? undefined : this.#replicaSets.byKey(objectKey(pod.namespace, replicaSetName));
    const owned = replicaSet?.spec?.selector as LabelSelectorObject | undefined;
    if (owned === undefined && Object.keys(matchLabels).length === 0) return undefined;
    const merged: LabelSelectorObject = { ...owned, matchLabels: { ...owned?.matchLabels, ...matchLabels } };
    return { selector: labelSelectorFrom(merged), selectorId: JSON.stringify(merged) };
  }
}
