import { DEVICE_CLASS_PREFIX } from '#api/meta/extended-resources.ts';
import { podRequests } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Node, Pod } from '#api/object/kinds.ts';
import { isCritical } from '../eviction/ranking.ts';
import { allContainers, qosClassOf, specOf } from '../pod-spec.ts';

export interface Refusal {
  /** Pod-level reason: `OutOfcpu`, `NodeAffinity`, `NodePorts` ... */
  readonly reason: string;
  readonly message: string;
}

/**
 * The node's own look at a pod that was bound to it: whoever bound it may have seen older facts, or skipped the scheduler. Pure.
 * `others` are the pods that hold resources here.
 */
export function admitPod(
  pod: Pod,
  others: readonly Pod[],
  node: Pick<Node, 'metadata' | 'status'>,
): Refusal | undefined {
  return (
    refusePressure(pod, node) ??
    refuseSelector(pod, node) ??
    refuseResources(pod, others, node) ??
    refusePorts(pod, others)
  );
}

/** A node that is short of something takes nothing that would make it worse; what the cluster cannot do without it takes all the same. */
function refusePressure(pod: Pod, { status }: Pick<Node, 'status'>): Refusal | undefined {
  const isUnder = (type: string) => status?.conditions?.some((one) => one.type === type && one.status === 'True');
  const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure'].filter(isUnder);
  if (pressures.length === 0 || isCritical(pod)) return undefined;
  if (pressures.join() === 'MemoryPressure') {
    const isTolerated = specOf(pod).tolerations?.some(
      ({ key, operator, effect }) =>
        (key === 'node.kubernetes.io/memory-pressure' || (key === undefined && operator === 'Exists')) &&
        (effect === undefined || effect === 'NoSchedule'),
    );
    if (qosClassOf(pod) !== 'BestEffort' || isTolerated) return undefined;
  }
  return { reason: 'Evicted', message: `Pod was rejected: The node had condition: [${pressures.join(' ')}]. ` };
}

function refuseSelector(pod: Pod, { metadata }: Pick<Node, 'metadata'>): Refusal | undefined {
  const labels = metadata.labels ?? {};
  const isMatch = Object.entries(specOf(pod).nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  if (isMatch) return undefined;
  return {
    reason: 'NodeAffinity',
    message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  };
}

function refuseResources(pod: Pod, others: readonly Pod[], { status }: Pick<Node, 'status'>): Refusal | undefined {
  const maxPods = status?.allocatable?.pods === undefined ? Number.POSITIVE_INFINITY : Number(status.allocatable.pods);
  if (others.length + 1 > maxPods) return outOf('pods', { requested: 1, used: others.length, capacity: maxPods });
  for (const [name, requested] of podRequests(specOf(pod))) {
    // What the node has never offered is counted by somebody else: the scheduler, or nobody for a pod that was bound by hand.
    if (isExtended(name) && status?.allocatable?.[name] === undefined) continue;
    const lack = outOfResources(name, requested, others, status);
    if (lack !== undefined) return outOf(name, lack);
  }
  return undefined;
}

const isExtended = (name: string) =>
  name.startsWith(DEVICE_CLASS_PREFIX) || (name.includes('/') && !/^([^/]+\.)?kubernetes\.io\//.test(name));

/** cpu in milli-cores, everything else in whole units. */
export interface Lack {
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

/** Whether `requested` does not fit beside what the others request; undefined = it does. */
export function outOfResources(
  name: string,
  requested: Quantity,
  others: readonly Pod[],
  status: Node['status'],
): Lack | undefined {
  if (requested.sign <= 0) return undefined;
  const taken = others.map((other) => podRequests(specOf(other)).get(name) ?? Quantity.zero);
  const used = taken.reduce((sum, amount) => sum.add(amount), Quantity.zero);
  const capacity = Quantity.parse(status?.allocatable?.[name] ?? 0);
  if (used.add(requested).compare(capacity) <= 0) return undefined;
  const shown = (amount: Quantity) => (name === 'cpu' ? amount.milliValue() : amount.value());
  return { requested: shown(requested), used: shown(used), capacity: shown(capacity) };
}

function outOf(name: string, { requested, used, capacity }: Lack): Refusal {
  return {
    reason: `OutOf${name}`,
    message: `Pod was rejected: Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  };
}

function refusePorts(pod: Pod, others: readonly Pod[]): Refusal | undefined {
  const taken = others.flatMap(hostPorts);
  const isTaken = hostPorts(pod).some((own) => taken.some((other) => conflicts(own, other)));
  if (!isTaken) return undefined;
  return {
    reason: 'NodePorts',
    message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  };
}

interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

function hostPorts(pod: Pod): HostPort[] {
  return allContainers(pod)
    .flatMap(({ ports }) => ports ?? [])
    .filter(({ hostPort }) => (hostPort ?? 0) > 0)
    .map(({ hostIP = '', protocol = 'TCP', hostPort = 0 }) => ({ ip: hostIP || '0.0.0.0', protocol, port: hostPort }));
}

const conflicts = (a: HostPort, b: HostPort) =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0');
