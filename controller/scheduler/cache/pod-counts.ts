import type { LabelSelector } from '#api/meta/label-selector.ts';
import type { PodInfo } from './pod-info.ts';

/** Which pods a counter counts. */
export interface PodQuery {
  readonly namespace: string;
  readonly selector: LabelSelector;
  /** Names the selector: equal ids, equal selectors. */
  readonly selectorId: string;
  /** Spreading leaves out pods that are on their way out; affinity counts them. */
  readonly ignoresTerminating: boolean;
}

/** Pods of one query by the node they are on; nodes without any are absent. */
export type PodsByNode = ReadonlyMap<string, number>;

interface Counter {
  readonly query: PodQuery;
  readonly byNode: Map<string, number>;
}

/** Counters kept up to date; the least recently asked for is dropped. A fleet has a few hundred workloads. */
const MAX_COUNTERS = 500;

/**
 * Answers "how many pods with these labels are on each node" without looking at every pod: a query is counted once and from then on
 * adjusted with each pod that comes or goes. This is what makes spreading over thousands of nodes affordable.
 */
export class PodCounts {
  readonly #podsByNamespace = new Map<string, Map<string, { readonly info: PodInfo; readonly nodeName: string }>>();
  /** By namespace, then by selector; insertion order is order of use. */
  readonly #counters = new Map<string, Counter>();
  readonly #countersByNamespace = new Map<string, Set<Counter>>();

  /** Namespaces with pods on nodes. */
  get namespaces(): Iterable<string> {
    return this.#podsByNamespace.keys();
  }

  add(info: PodInfo, nodeName: string): void {
    let pods = this.#podsByNamespace.get(info.namespace);
    if (pods === undefined) {
      pods = new Map();
      this.#podsByNamespace.set(info.namespace, pods);
    }
    pods.set(info.key, { info, nodeName });
    for (const counter of this.#countersByNamespace.get(info.namespace) ?? []) adjust(counter, info, nodeName, 1);
  }

  remove(info: PodInfo, nodeName: string): void {
    const pods = this.#podsByNamespace.get(info.namespace);
    if (pods?.delete(info.key) !== true) return;
    if (pods.size === 0) this.#podsByNamespace.delete(info.namespace);
    for (const counter of this.#countersByNamespace.get(info.namespace) ?? []) adjust(counter, info, nodeName, -1);
  }

  byNode(query: PodQuery): PodsByNode {
    const id = `${query.namespace}/${query.ignoresTerminating}/${query.selectorId}`;
    const known = this.#counters.get(id);
    if (known !== undefined) {
      this.#counters.delete(id);
      this.#counters.set(id, known);
      return known.byNode;
    }
    const counter: Counter = { query, byNode: new Map() };
    for (const { info, nodeName } of this.#podsByNamespace.get(query.namespace)?.values() ?? []) {
      adjust(counter, info, nodeName, 1);
    }
    this.#register(id, counter);
    return counter.byNode;
  }

  #register(id: string, counter: Counter): void {
    this.#counters.set(id, counter);
    const { namespace } = counter.query;
    const siblings = this.#countersByNamespace.get(namespace);
    if (siblings === undefined) this.#countersByNamespace.set(namespace, new Set([counter]));
    else siblings.add(counter);
    if (this.#counters.size <= MAX_COUNTERS) return;
    const [oldestId, oldest] = this.#counters.entries().next().value!;
    this.#counters.delete(oldestId);
    this.#countersByNamespace.get(oldest.query.namespace)?.delete(oldest);
  }
}

function adjust({ query, byNode }: Counter, info: PodInfo, nodeName: string, by: 1 | -1): void {
  if ((query.ignoresTerminating && info.isTerminating) || !query.selector.matches(info.labels)) return;
  const count = (byNode.get(nodeName) ?? 0) + by;
  if (count === 0) byNode.delete(nodeName);
  else byNode.set(nodeName, count);
}
