import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IEphemeralContainer } from 'kubernetes-models/v1/EphemeralContainer';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { computeQosClass, type QosClass } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { PodIdentity } from './runtime-cache.ts';

/** Identity of one pod instance; a pod that is deleted and created again under the same name has another one. */
export type PodUid = string & { readonly __brand: 'PodUid' };

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export type ContainerRole = 'init' | 'sidecar' | 'regular' | 'ephemeral';

const EMPTY_SPEC: IPodSpec = { containers: [] };
const DEFAULT_GRACE_SECONDS = 30;

export const uidOf = (pod: Pod): PodUid => pod.metadata.uid as PodUid;
export const specOf = (pod: Pod): IPodSpec => pod.spec ?? EMPTY_SPEC;
export const namespaceOf = (pod: Pod): string => pod.metadata.namespace ?? 'default';
export const identityOf = (pod: Pod): PodIdentity => ({
  uid: uidOf(pod),
  namespace: namespaceOf(pod),
  name: pod.metadata.name,
});
export const restartPolicyOf = (pod: Pod): RestartPolicy => specOf(pod).restartPolicy ?? 'Always';
export const isHostNetwork = (pod: Pod): boolean => specOf(pod).hostNetwork === true;

/** As the API server recorded it: the class of a pod never changes. */
export const qosClassOf = (pod: Pod): QosClass => pod.status?.qosClass || computeQosClass(specOf(pod));

/** `name_namespace(uid)`: how the kubelet names a pod in messages. */
export const formatPod = (pod: Pod): string => `${pod.metadata.name}_${namespaceOf(pod)}(${pod.metadata.uid})`;

export function roleOf(pod: Pod, containerName: string): ContainerRole | undefined {
  const spec = specOf(pod);
  const init = spec.initContainers?.find((container) => container.name === containerName);
  if (init !== undefined) return isSidecar(init) ? 'sidecar' : 'init';
  if (spec.containers.some((container) => container.name === containerName)) return 'regular';
  return ephemeralContainers(pod).some(({ name }) => name === containerName) ? 'ephemeral' : undefined;
}

/** Containers that `kubectl debug` added to a running pod: each runs once, in the order in which they came. */
export const ephemeralContainers = (pod: Pod): readonly IEphemeralContainer[] => specOf(pod).ephemeralContainers ?? [];

/** An init container that keeps running beside the regular ones. */
export const isSidecar = (initContainer: IContainer): boolean => initContainer.restartPolicy === 'Always';

export function findContainer(pod: Pod, name: string): IContainer | undefined {
  return [...allContainers(pod), ...ephemeralContainers(pod)].find((container) => container.name === name);
}

/** Init containers first, in their order; without the ephemeral ones, which nothing is planned around. */
export function allContainers(pod: Pod): IContainer[] {
  const spec = specOf(pod);
  return [...(spec.initContainers ?? []), ...spec.containers];
}

/** Seconds that the pod's processes get to end: what the deletion asked for, else the spec's value. */
export function gracePeriodSeconds(pod: Pod): number {
  const { metadata } = pod;
  if (metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds !== undefined)
    return metadata.deletionGracePeriodSeconds;
  return specOf(pod).terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}

/** Whether a container that ended with `exitCode` is to run again, by its own rules (KEP-5307), its own policy, or the pod's. */
export function shouldRestart(pod: Pod, container: IContainer, exitCode: number): boolean {
  if (matchingRule(container, exitCode) !== undefined) return true;
  const policy = container.restartPolicy ?? restartPolicyOf(pod);
  if (policy === 'Never') return false;
  return policy === 'Always' || exitCode !== 0;
}

/** The first rule that fits; each of its actions runs the container again, alone or with all others (KEP-5532). */
export function matchingRule({ restartPolicyRules = [] }: IContainer, exitCode: number) {
  return restartPolicyRules.find(({ action, exitCodes }) => {
    const isIn = (exitCodes?.values ?? []).includes(exitCode);
    const isFit = exitCodes?.operator === 'NotIn' ? !isIn : isIn;
    return isFit && (action === 'Restart' || action === 'RestartAllContainers');
  });
}
