import { Quantity } from '#api/meta/quantity.ts';
import type { Node } from '#api/object/kinds.ts';
import type { HostPort, PodInfo } from './pod-info.ts';
import { amountsOfList, NO_AMOUNTS, type ResourceAmounts } from './resource-amounts.ts';

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

const ANY_IP = '0.0.0.0';
const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

/** A node and the sum of the pods on it, kept up to date pod by pod. Changed by the cluster cache alone. */
export class NodeInfo {
  readonly name: string;
  /** undefined while pods name a node that has not been seen. */
  node: Node | undefined;
  labels: Readonly<Record<string, string>> = NO_LABELS;
  taints: readonly Taint[] = [];
  isUnschedulable = false;
  allocatable: ResourceAmounts = NO_AMOUNTS;
  allowedPods = 0;
  /** Bytes by image name. */
  images: ReadonlyMap<string, number> = new Map();
  /** By pod key. */
  readonly pods = new Map<string, PodInfo>();
  milliCpu = 0;
  memory = 0;
  ephemeralStorage = 0;
  nonZeroMilliCpu = 0;
  nonZeroMemory = 0;
  readonly scalars = new Map<string, number>();
  readonly #hostPorts: HostPort[] = [];

  constructor(name: string) {
    this.name = name;
  }

  setNode(node: Node): void {
    const allocatable = node.status?.allocatable;
    this.node = node;
    this.labels = node.metadata.labels ?? NO_LABELS;
    this.taints = (node.spec?.taints ?? []) as readonly Taint[];
    this.isUnschedulable = node.spec?.unschedulable === true;
    this.allocatable = amountsOfList(allocatable);
    this.allowedPods = Quantity.parse(allocatable?.pods ?? 0).value();
    this.images = new Map(
      (node.status?.images ?? []).flatMap(({ names = [], sizeBytes = 0 }) =>
        names.map((name) => [name, sizeBytes] as const),
      ),
    );
  }

  /** The node is gone; pods that name it may linger. */
  clearNode(): void {
    this.node = undefined;
    this.labels = NO_LABELS;
  }

  addPod(info: PodInfo): void {
    this.pods.set(info.key, info);
    this.#count(info, 1);
    if (info.hostPorts.length > 0) this.#hostPorts.push(...info.hostPorts);
  }

  removePod(info: PodInfo): void {
    if (!this.pods.delete(info.key)) return;
    this.#count(info, -1);
    for (const port of info.hostPorts) {
      const at = this.#hostPorts.findIndex((used) => isSamePort(used, port));
      if (at >= 0) this.#hostPorts.splice(at, 1);
    }
  }

  hasPortConflict(wanted: HostPort): boolean {
    return this.#hostPorts.some((used) => arePortsInConflict(used, wanted));
  }

  /** What remains without some of its pods: for asking what their removal would allow. */
  without(pods: Iterable<PodInfo>): NodeInfo {
    const copy = new NodeInfo(this.name);
    if (this.node !== undefined) copy.setNode(this.node);
    const gone = new Set([...pods].map((info) => info.key));
    for (const info of this.pods.values()) if (!gone.has(info.key)) copy.addPod(info);
    return copy;
  }

  #count(info: PodInfo, sign: 1 | -1): void {
    const { requests, nonZero } = info;
    this.milliCpu += sign * requests.milliCpu;
    this.memory += sign * requests.memory;
    this.ephemeralStorage += sign * requests.ephemeralStorage;
    this.nonZeroMilliCpu += sign * nonZero.milliCpu;
    this.nonZeroMemory += sign * nonZero.memory;
    for (const [name, amount] of requests.scalars)
      this.scalars.set(name, (this.scalars.get(name) ?? 0) + sign * amount);
  }
}

export function arePortsInConflict(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY_IP || b.ip === ANY_IP);
}

function isSamePort(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && a.ip === b.ip;
}
