import { deepEqual } from '#api/object/deep-equal.ts';
import type { Node } from '#api/object/kinds.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';
import { NodeInfo } from './node-info.ts';
import { addTo, PlacedTerms } from './placed-terms.ts';
import { PodCounts } from './pod-counts.ts';
import type { PodInfo } from './pod-info.ts';

interface Placement {
  readonly info: PodInfo;
  readonly node: NodeInfo;
  /** Placed by us, not yet seen in the API. */
  readonly isAssumed: boolean;
}

/**
 * The cluster as the scheduler believes it to be: what the API shows, plus the pods it has just placed. A scheduling cycle is one
 * synchronous step, so it reads this directly; no snapshot is copied.
 */
export class ClusterCache {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Known nodes, in the order in which they came; rebuilt when one comes or goes. */
  #list: NodeInfo[] | undefined;
  readonly #placements = new Map<ObjectKey, Placement>();
  readonly counts = new PodCounts();
  readonly terms = new PlacedTerms();
  /** How many pods on nodes use a claim. */
  readonly podsOfClaims = new Map<ObjectKey, number>();
  /** How many nodes hold an image. */
  readonly imageNodes = new Map<string, number>();

  get nodes(): readonly NodeInfo[] {
    this.#list ??= [...this.#nodes.values()].filter((info) => info.node !== undefined);
    return this.#list;
  }

  node(name: string): NodeInfo | undefined {
    const info = this.#nodes.get(name);
    return info?.node === undefined ? undefined : info;
  }

  setNode(node: Node): NodeInfo {
    const info = this.#obtainNode(node.metadata.name);
    const isNew = info.node === undefined;
    const previousLabels = info.labels;
    this.#countImages(info, -1);
    info.setNode(node);
    this.#countImages(info, 1);
    if (isNew) this.#list = undefined;
    if (info.pods.size > 0 && !deepEqual(previousLabels, info.labels)) this.#forgetDomains();
    return info;
  }

  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info === undefined) return;
    this.#countImages(info, -1);
    info.clearNode();
    if (info.pods.size > 0) this.#forgetDomains();
    if (info.pods.size === 0) this.#nodes.delete(name);
    this.#list = undefined;
  }

  /** A pod that the API shows on a node; takes the place of an assumption about it. */
  setPod(info: PodInfo, nodeName: string): void {
    this.#place({ info, node: this.#obtainNode(nodeName), isAssumed: false });
  }

  /** Answers the node that the pod was on, or undefined. */
  removePod(key: ObjectKey): string | undefined {
    const placement = this.#placements.get(key);
    if (placement === undefined) return undefined;
    const { info, node } = placement;
    this.#placements.delete(key);
    this.terms.remove(info, node);
    this.counts.remove(info, node);
    for (const { key } of info.claims) addTo(this.podsOfClaims, key, -1);
    node.removePod(info);
    if (node.node === undefined && node.pods.size === 0) this.#nodes.delete(node.name);
    return node.name;
  }

  /** Counts the pod on the node from now on, before the API knows. */
  assume(info: PodInfo, nodeName: string): void {
    this.#place({ info, node: this.#obtainNode(nodeName), isAssumed: true });
  }

  /** Takes an assumption back; does nothing once the API has confirmed it. */
  forget(key: ObjectKey): void {
    if (this.isAssumed(key)) this.removePod(key);
  }

  isAssumed(key: ObjectKey): boolean {
    return this.#placements.get(key)?.isAssumed === true;
  }

  isPlaced(key: ObjectKey): boolean {
    return this.#placements.has(key);
  }

  #place(placement: Placement): void {
    const { info, node } = placement;
    this.removePod(info.key);
    // Its last pod may just have taken an unknown node with it.
    this.#nodes.set(node.name, node);
    this.#placements.set(info.key, placement);
    node.addPod(info);
    this.counts.add(info, node);
    for (const { key } of info.claims) addTo(this.podsOfClaims, key, 1);
    this.terms.add(info, node);
  }

  #obtainNode(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (info === undefined) {
      info = new NodeInfo(name);
      this.#nodes.set(name, info);
    }
    return info;
  }

  #forgetDomains(): void {
    this.counts.forgetDomains();
    this.terms.forgetDomains();
  }

  #countImages(info: NodeInfo, by: 1 | -1): void {
    if (info.node === undefined) return;
    for (const image of info.images.keys()) {
      const count = (this.imageNodes.get(image) ?? 0) + by;
      if (count === 0) this.imageNodes.delete(image);
      else this.imageNodes.set(image, count);
    }
  }
}
