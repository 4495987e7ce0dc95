import type { NodeInfo } from './node-info.ts';
import type { PodAffinityTerm, PodInfo } from './pod-info.ts';

export type TermKind = 'requiredAffinity' | 'requiredAntiAffinity' | 'preferredAffinity' | 'preferredAntiAffinity';

const KINDS: readonly TermKind[] = [
  'requiredAffinity',
  'requiredAntiAffinity',
  'preferredAffinity',
  'preferredAntiAffinity',
];

/** A term that pods on nodes have, and how many of them have it in each domain of its topology key. */
export interface PlacedTerm {
  readonly term: PodAffinityTerm;
  /** 1 for required terms. */
  readonly weight: number;
  readonly byDomain: ReadonlyMap<string, number>;
}

class TermEntry implements PlacedTerm {
  readonly term: PodAffinityTerm;
  readonly weight: number;
  readonly #byNode = new Map<NodeInfo, number>();
  #byDomain: Map<string, number> | undefined;

  constructor(term: PodAffinityTerm, weight: number) {
    this.term = term;
    this.weight = weight;
  }

  get isEmpty(): boolean {
    return this.#byNode.size === 0;
  }

  get byDomain(): ReadonlyMap<string, number> {
    if (this.#byDomain === undefined) {
      this.#byDomain = new Map();
      for (const [node, count] of this.#byNode) addTo(this.#byDomain, node.labels[this.term.topologyKey], count);
    }
    return this.#byDomain;
  }

  adjust(node: NodeInfo, by: 1 | -1): void {
    addTo(this.#byNode, node, by);
    if (this.#byDomain !== undefined) addTo(this.#byDomain, node.labels[this.term.topologyKey], by);
  }

  forgetDomains(): void {
    this.#byDomain = undefined;
  }
}

/** Adds to a count; a count of zero is taken out, and an undefined key is no domain. */
export function addTo<K>(counts: Map<K, number>, key: K | undefined, by: number): void {
  if (key === undefined) return;
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

/**
 * What placed pods ask about other pods. The replicas of a workload share their terms, so thousands of pods come to a handful of terms,
 * each of which a cycle has to hold against the new pod once.
 */
export class PlacedTerms {
  readonly #entries: Readonly<Record<TermKind, Map<string, TermEntry>>> = {
    requiredAffinity: new Map(),
    requiredAntiAffinity: new Map(),
    preferredAffinity: new Map(),
    preferredAntiAffinity: new Map(),
  };

  of(kind: TermKind): Iterable<PlacedTerm> {
    return this.#entries[kind].values();
  }

  add(info: PodInfo, node: NodeInfo): void {
    this.#adjust(info, node, 1);
  }

  remove(info: PodInfo, node: NodeInfo): void {
    this.#adjust(info, node, -1);
  }

  /** After labels of nodes changed. */
  forgetDomains(): void {
    for (const kind of KINDS) for (const entry of this.#entries[kind].values()) entry.forgetDomains();
  }

  #adjust(info: PodInfo, node: NodeInfo, by: 1 | -1): void {
    if (info.affinity === undefined) return;
    for (const kind of KINDS) {
      for (const term of info.affinity[kind]) {
        const weight = 'weight' in term ? (term.weight as number) : 1;
        const id = `${weight}/${term.id}`;
        let entry = this.#entries[kind].get(id);
        if (entry === undefined) {
          entry = new TermEntry(term, weight);
          this.#entries[kind].set(id, entry);
        }
        entry.adjust(node, by);
        if (entry.isEmpty) this.#entries[kind].delete(id);
      }
    }
  }
}
