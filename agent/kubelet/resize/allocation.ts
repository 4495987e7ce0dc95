import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IResourceRequirements } from 'kubernetes-models/v1/ResourceRequirements';
import { podRequests, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { Node, Pod } from '#api/object/kinds.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { outOfResources } from '../node/node-admission.ts';
import { allContainers, specOf } from '../pod-spec.ts';

/** What the node has granted a pod: by container, and for the pod as a whole under POD_LEVEL. */
export type Allocation = Readonly<Record<string, IResourceRequirements>>;

/** No container can have this name. */
const POD_LEVEL = '';

/** Amounts that a running pod may have changed. */
const RESIZABLE = ['cpu', 'memory'] as const;

/** What the spec asks for now. */
function desiredAllocation(pod: Pod): Allocation {
  const spec = specOf(pod);
  const sizes = allContainers(pod).map(({ name, resources }) => [name, resources ?? {}] as const);
  return Object.fromEntries([
    ...sizes,
    ...(spec.resources === undefined ? [] : [[POD_LEVEL, spec.resources] as const]),
  ]);
}

/** What was granted: since the last resize, or at admission. */
export function grantedAllocation(pod: Pod, record: LedgerRecord): Allocation {
  return record.allocated ?? { ...desiredAllocation(pod), ...desiredAllocation(record.pod) };
}

/** What the node has granted a pod as a whole, where the pod asks for that. */
export function grantedPodLevel(pod: Pod, record: LedgerRecord): IResourceRequirements | undefined {
  return specOf(pod).resources === undefined ? undefined : grantedAllocation(pod, record)[POD_LEVEL];
}

/** The pod as the node has granted it: what its cgroups and its place on the node are computed from. */
export function allocatedPod(pod: Pod, record: LedgerRecord): Pod {
  const granted = grantedAllocation(pod, record);
  const desired = desiredAllocation(pod);
  if (Object.entries(desired).every(([name, sizes]) => isSameSize(sizes, granted[name]))) return pod;
  const spec = specOf(pod);
  const resize = (container: IContainer): IContainer => ({
    ...container,
    resources: granted[container.name] ?? container.resources ?? {},
  });
  const podLevel = granted[POD_LEVEL];
  return {
    ...pod,
    spec: {
      ...spec,
      containers: spec.containers.map(resize),
      ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(resize) }),
      ...(podLevel === undefined ? {} : { resources: podLevel }),
    },
  };
}

/** Whether CPU and memory are the same amounts, however they are written. */
export function isSameSize(a: IResourceRequirements | undefined, b: IResourceRequirements | undefined): boolean {
  if (deepEqual(a ?? {}, b ?? {})) return true;
  return RESIZABLE.every(
    (name) => isSameAmount(a?.requests, b?.requests, name) && isSameAmount(a?.limits, b?.limits, name),
  );
}

function isSameAmount(a: ResourceList | undefined, b: ResourceList | undefined, name: string): boolean {
  const [left, right] = [a?.[name], b?.[name]];
  if (left === undefined || right === undefined) return left === right;
  return Quantity.parse(left).equals(Quantity.parse(right));
}

export type ResizeVerdict =
  | { readonly kind: 'none' }
  | { readonly kind: 'granted'; readonly allocation: Allocation }
  /** Deferred may fit later, Infeasible never on this node. */
  | { readonly kind: 'pending'; readonly reason: 'Deferred' | 'Infeasible'; readonly message: string };

export interface ResizeInput {
  readonly pod: Pod;
  readonly record: LedgerRecord;
  /** Pods that hold resources of this node, as granted, without this one. */
  readonly others: () => readonly Pod[];
  readonly node: Pick<Node, 'status'>;
}

/** Judges the sizes that the spec asks for. Pure; nothing is granted half. */
export function decideResize({ pod, record, others, node }: ResizeInput): ResizeVerdict {
  const desired = desiredAllocation(pod);
  const granted = grantedAllocation(pod, record);
  if (Object.entries(desired).every(([name, sizes]) => isSameSize(sizes, granted[name]))) return { kind: 'none' };
  // Its CPUs were counted out for it.
  if (record.cpus !== undefined)
    return {
      kind: 'pending',
      reason: 'Infeasible',
      message: 'Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy',
    };
  const requests = podRequests(specOf(pod));
  const before = podRequests(specOf(allocatedPod(pod, record)));
  for (const name of RESIZABLE) {
    const wanted = requests.get(name);
    if (wanted === undefined || wanted.compare(before.get(name) ?? Quantity.zero) <= 0) continue;
    const lone = outOfResources(name, wanted, [], node.status);
    if (lone !== undefined)
      return {
        kind: 'pending',
        reason: 'Infeasible',
        message: `Node didn't have enough capacity: ${name}, requested: ${lone.requested}, capacity: ${lone.capacity}`,
      };
    const lack = outOfResources(name, wanted, others(), node.status);
    if (lack !== undefined)
      return {
        kind: 'pending',
        reason: 'Deferred',
        message: `Node didn't have enough resource: ${name}, requested: ${lack.requested}, used: ${lack.used}, capacity: ${lack.capacity}`,
      };
  }
  return { kind: 'granted', allocation: desired };
}

/** How a running container gets from what it was last given to what it is granted. */
export function resizeStep(
  container: IContainer,
  granted: IResourceRequirements | undefined,
  actuated: IResourceRequirements | undefined,
): 'none' | 'update' | 'restart' {
  if (isSameSize(granted, actuated)) return 'none';
  const mustRestart = (container.resizePolicy ?? []).some(
    ({ resourceName, restartPolicy }) =>
      restartPolicy === 'RestartContainer' &&
      !(
        isSameAmount(granted?.requests, actuated?.requests, resourceName) &&
        isSameAmount(granted?.limits, actuated?.limits, resourceName)
      ),
  );
  return mustRestart ? 'restart' : 'update';
}

/** What a container was last given: noted when it was made or resized, else what it was admitted with. */
export function actuatedSize(pod: Pod, record: LedgerRecord, name: string): IResourceRequirements | undefined {
  return record.containers[name]?.actuated ?? desiredAllocation(record.pod)[name] ?? desiredAllocation(pod)[name];
}

/**
 * The granted pod with limits that its cgroup has room for while it is resized: of each container the larger one of what it was last given
 * and what it is granted. Below what is in use, the kernel would end processes.
 */
export function roomFor(pod: Pod, record: LedgerRecord): Pod {
  const spec = specOf(pod);
  const widen = (container: IContainer): IContainer => {
    const { resources } = container;
    const actuated = actuatedSize(pod, record, container.name);
    if (isSameSize(resources, actuated)) return container;
    const { cpu: _cpu, memory: _memory, ...others } = resources?.limits ?? {};
    const limits = RESIZABLE.flatMap((name) => {
      const [granted, held] = [resources?.limits?.[name], actuated?.limits?.[name]];
      if (granted === undefined || held === undefined) return [];
      return [[name, Quantity.parse(held).compare(Quantity.parse(granted)) > 0 ? held : granted] as const];
    });
    return { ...container, resources: { ...resources, limits: { ...others, ...Object.fromEntries(limits) } } };
  };
  const { containers, initContainers } = spec;
  return {
    ...pod,
    spec: {
      ...spec,
      containers: containers.map(widen),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(widen) }),
    },
  };
}
