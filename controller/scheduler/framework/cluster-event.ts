import type { Node } from '#api/object/kinds.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';
import type { PodInfo } from '../cache/pod-info.ts';

/** A change that may let a waiting pod in. */
export type ClusterEvent =
  | { readonly kind: 'nodeAdded'; readonly node: Node }
  | { readonly kind: 'nodeUpdated'; readonly node: Node; readonly previous: Node; readonly changes: NodeChanges }
  | { readonly kind: 'nodeRemoved'; readonly node: Node }
  | { readonly kind: 'podPlaced'; readonly pod: PodInfo }
  | { readonly kind: 'podChanged'; readonly pod: PodInfo; readonly previous: PodInfo }
  | { readonly kind: 'podRemoved'; readonly pod: PodInfo; readonly nodeName: string }
  | { readonly kind: 'namespaceChanged'; readonly namespace: string }
  | { readonly kind: 'claimChanged'; readonly key: ObjectKey }
  | { readonly kind: 'storageChanged'; readonly what: StorageChange }
  /** `isFreed`: it gave devices back. */
  | { readonly kind: 'deviceClaimChanged'; readonly key: ObjectKey; readonly isFreed: boolean }
  /** What devices there are, or what classes of them. */
  | { readonly kind: 'devicesChanged' }
  /** The search for devices of the pod with this key was cut short, and may go on. */
  | { readonly kind: 'deviceSearchDue'; readonly key: ObjectKey };

/** What volumes can be had has changed: one came or changed, a class or a driver did, a driver's room, what a node can hold, what it holds. */
export type StorageChange = 'volume' | 'class' | 'driver' | 'capacity' | 'csiNode' | 'attachment';

/** Parts of a node that plugins look at. */
export interface NodeChanges {
  readonly allocatable: boolean;
  readonly labels: boolean;
  readonly taints: boolean;
  readonly unschedulable: boolean;
}

/** A heartbeat changes none of them, and then nobody need be woken. */
export function computeNodeChanges(previous: Node, node: Node): NodeChanges {
  const differ = (a: unknown, b: unknown) => JSON.stringify(a ?? null) !== JSON.stringify(b ?? null);
  return {
    allocatable: differ(previous.status?.allocatable, node.status?.allocatable),
    labels: differ(previous.metadata.labels, node.metadata.labels),
    taints: differ(previous.spec?.taints, node.spec?.taints),
    unschedulable: (previous.spec?.unschedulable === true) !== (node.spec?.unschedulable === true),
  };
}

export function hasNodeChange(changes: NodeChanges): boolean {
  return changes.allocatable || changes.labels || changes.taints || changes.unschedulable;
}

/** The node of an event that brings one or changes one, or undefined. */
export function changedNodeOf(event: ClusterEvent): Node | undefined {
  return event.kind === 'nodeAdded' || event.kind === 'nodeUpdated' ? event.node : undefined;
}
