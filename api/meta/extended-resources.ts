import type { Pod } from '../object/kinds.ts';

/** Every DeviceClass can be asked for as a resource under this name, followed by its own. */
export const DEVICE_CLASS_PREFIX = 'deviceclass.resource.kubernetes.io/';

/** What a container asks for, of a claim that was made for the extended resources of its pod. */
export interface ContainerClaim {
  /** Of the pod's claim. */
  readonly name: string;
  readonly request?: string | undefined;
}

/** Under this name a pod has the claim for its extended resources. No claim that it speaks of itself can be called so. */
export const EXTENDED_CLAIM = '/extended-resources';

/** All claims whose devices a container gets: those that it names, and the part that is its own of the one for extended resources. */
export function claimsOfContainer(
  pod: Pod,
  container: { readonly name: string; readonly resources?: { readonly claims?: readonly ContainerClaim[] } },
): readonly ContainerClaim[] {
  const own = (pod.status?.extendedResourceClaimStatus?.requestMappings ?? []).filter(
    ({ containerName }) => containerName === container.name,
  );
  return [
    ...(container.resources?.claims ?? []),
    ...own.map(({ requestName }) => ({ name: EXTENDED_CLAIM, request: requestName })),
  ];
}
