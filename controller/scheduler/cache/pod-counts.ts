import type { LabelSelector } from '#api/meta/label-selector.ts';
import type { NodeInfo } from './node-info.ts';
import { addTo } from './placed-terms.ts';
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
export type PodsByNode = ReadonlyMap<NodeInfo, number>;

/** The same by the value of a node label; nodes without it are left out. */
export type PodsByDomain = ReadonlyMap<string, number>;

interface Counter {
  readonly query: PodQuery;
  /** By topology key, as far as anybody asked. */
  readonly byDomain: Map<string, Map<string, number>>;
  readonly byNode: Map<NodeInfo, number>;
}

/** Counters kept up to date; the least recently asked for is dropped. A fleet has a few hundred workloads. */
const MAX_COUNTERS = 500;

/**
 * Answers "how many pods with these labels are on each node" without looking at every pod: a query is counted once and from then on
 * adjusted with each pod that comes or goes. This is what makes spreading over thousands of nodes affordable.
 */
export class PodCounts {
  readonly #podsByNamespace = new Map<string, Map<string, { readonly info: PodInfo; readonly node: NodeInfo }>>();
  /** By namespace, then by selector; insertion order is order of use. */
  readonly #counters = new Map<string, Counter>();
  readonly #countersByNamespace = new Map<string, Set<Counter>>();

  /** Namespaces with pods on nodes. */
  get namespaces(): Iterable<string> {
    return this.#podsByNamespace.keys();
  }

  add(info: PodInfo, node: NodeInfo): void {
    let pods = this.#podsByNamespace.get(info.namespace);
    if (pods === undefined) {
      pods = new Map();
      this.#podsByNamespace.set(info.namespace, pods);
    }
    pods.set(info.key, { info, node });
    for (const counter of this.#countersByNamespace.get(info.namespace) ?? []) adjust(counter, info, node, 1);
  }

  remove(info: PodInfo, node: NodeInfo): void {
    const pods = this.#podsByNamespace.get(info.namespace);
    if (pods?.delete(info.key) !== true) return;
    if (pods.size === 0) this.#podsByNamespace.delete(info.namespace);
    for (const counter of this.#countersByNamespace.get(info.namespace) ?? []) adjust(counter, info, node, -1);
  }

  byNode(query: PodQuery): PodsByNode {
    return this.#counterFor(query).byNode;
  }

  byDomain(query: PodQuery, topologyKey: string): PodsByDomain {
    const counter = this.#counterFor(query);
    let domains = counter.byDomain.get(topologyKey);
    if (domains === undefined) {
      domains = new Map();
      for (const [node, count] of counter.byNode) addTo(domains, node.labels[topologyKey], count);
      counter.byDomain.set(topologyKey, domains);
    }
    return domains;
  }

  /** After labels of nodes changed. */
  forgetDomains(): void {
    for (const counter of this.#counters.values()) counter.byDomain.clear();
  }

  #counterFor(query: PodQuery): Counter {
    const id = `${query.namespace}/${query.ignoresTerminating}/${query.selectorId}`;
    const known = this.#counters.get(id);
    if (known !== undefined) {
      this.#counters.delete(id);
      this.#counters.set(id, known);
      return known;
    }
    const counter: Counter = { query, byNode: new Map(), byDomain: new Map() };
    for (const { info, node } of this.#podsByNamespace.get(query.namespace)?.values() ?? []) {
      adjust(counter, info, node, 1);
    }
    this.#register(id, counter);
    return counter;
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

function adjust({ query, byNode, byDomain }: Counter, info: PodInfo, node: NodeInfo, by: 1 | -1): void {
  if ((query.ignoresTerminating && info.isTerminating) || !query.selector.matches(info.labels)) return;
  addTo(byNode, node, by);
  for (const [topologyKey, domains] of byDomain) addTo(domains, node.labels[topologyKey], by);
}
