import { dropManagedFields } from '#api/client/shared-informer.ts';
import type { Pod } from '#api/object/kinds.ts';

type Spec = NonNullable<Pod['spec']>;
type Container = Spec['containers'][number];

/** What scheduler and controllers read of a container; how it runs and what it is fed is its node's business. */
function trimContainer({ name, image, ports, resources, restartPolicy }: Container): Container {
  const kept: Container = { name };
  if (image !== undefined) kept.image = image;
  if (ports !== undefined) kept.ports = ports;
  if (resources !== undefined) kept.resources = resources;
  if (restartPolicy !== undefined) kept.restartPolicy = restartPolicy;
  return kept;
}

/**
 * For informers: a pod without what nobody reads who decides about pods, which is half of its memory. Of volumes those stay that need a claim.
 * Such a pod must never be written back whole. Changes the object in place.
 */
export function trimPod(pod: Pod): Pod {
  const { spec } = pod;
  if (spec === undefined) return dropManagedFields(pod);
  const { volumes, containers, initContainers, ...rest } = spec;
  const trimmed: Spec = { ...rest, containers: containers.map(trimContainer) };
  if (initContainers !== undefined) trimmed.initContainers = initContainers.map(trimContainer);
  const claimed = volumes?.filter((volume) => volume.persistentVolumeClaim ?? volume.ephemeral) ?? [];
  if (claimed.length > 0) trimmed.volumes = claimed;
  pod.spec = trimmed;
  return dropManagedFields(pod);
}
