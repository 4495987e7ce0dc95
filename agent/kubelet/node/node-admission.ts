import type { Node, Pod } from '#api/object/kinds.ts';
import { amountOf, podRequest } from '../config/resource-amounts.ts';
import { allContainers, specOf } from '../pod-spec.ts';

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
  return refuseSelector(pod, node) ?? refuseResources(pod, others, node) ?? refusePorts(pod, others);
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
  const allocatable = status?.allocatable ?? {};
  const maxPods = allocatable.pods === undefined ? Number.POSITIVE_INFINITY : amountOf(allocatable.pods);
  if (others.length + 1 > maxPods) return outOf('pods', 1, others.length, maxPods);
  for (const name of requestedResources(pod)) {
    const capacity = allocatable[name] === undefined ? 0 : amountOf(allocatable[name]);
    const requested = podRequest(pod, name);
    const used = others.reduce((sum, other) => sum + podRequest(other, name), 0);
    if (requested > 0 && used + requested > capacity) {
      const scale = name === 'cpu' ? 1000 : 1;
      return outOf(name, requested * scale, used * scale, capacity * scale);
    }
  }
  return undefined;
}

/** cpu in milli-cores, everything else in whole units. */
function outOf(name: string, requested: number, used: number, capacity: number): Refusal {
  return {
    reason: `OutOf${name}`,
    message: `Pod was rejected: Node didn't have enough resource: ${name}, requested: ${Math.round(requested)}, used: ${Math.round(used)}, capacity: ${Math.round(capacity)}`,
  };
}

function requestedResources(pod: Pod): string[] {
  const names = new Set<string>();
  for (const { resources } of allContainers(pod))
    for (const name of [...Object.keys(resources?.requests ?? {}), ...Object.keys(resources?.limits ?? {})])
      names.add(name);
  return [...names];
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
