import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Pod } from '#api/object/kinds.ts';

/** Objects of a pod's namespace that its node must be able to read. */
export interface PodReferences {
  readonly secrets: ReadonlySet<string>;
  readonly configMaps: ReadonlySet<string>;
  readonly claims: ReadonlySet<string>;
  readonly serviceAccount: string | undefined;
}

interface Collected {
  readonly secrets: Set<string>;
  readonly configMaps: Set<string>;
  readonly claims: Set<string>;
}

const add = (set: Set<string>, name: string | undefined): void => {
  if (name !== undefined && name !== '') set.add(name);
};

function collectEnvironment(container: Pick<IContainer, 'env' | 'envFrom'>, found: Collected): void {
  for (const { valueFrom } of container.env ?? []) {
    add(found.secrets, valueFrom?.secretKeyRef?.name);
    add(found.configMaps, valueFrom?.configMapKeyRef?.name);
  }
  for (const source of container.envFrom ?? []) {
    add(found.secrets, source.secretRef?.name);
    add(found.configMaps, source.configMapRef?.name);
  }
}

function collectVolume(volume: IVolume, found: Collected): void {
  add(found.secrets, volume.secret?.secretName);
  add(found.configMaps, volume.configMap?.name);
  add(found.claims, volume.persistentVolumeClaim?.claimName);
  for (const source of volume.projected?.sources ?? []) {
    add(found.secrets, source.secret?.name);
    add(found.configMaps, source.configMap?.name);
  }
  // Plug-ins whose credentials the kubelet hands over.
  for (const secret of [
    volume.csi?.nodePublishSecretRef,
    volume.cephfs?.secretRef,
    volume.flexVolume?.secretRef,
    volume.iscsi?.secretRef,
    volume.rbd?.secretRef,
    volume.scaleIO?.secretRef,
    volume.storageos?.secretRef,
  ]) {
    add(found.secrets, secret?.name);
  }
  add(found.secrets, volume.azureFile?.secretName);
}

/** Pure; `podName` names the claims of generic ephemeral volumes. */
export function podReferences(podName: string, spec: IPodSpec): PodReferences {
  const found: Collected = { secrets: new Set(), configMaps: new Set(), claims: new Set() };
  for (const container of [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ]) {
    collectEnvironment(container, found);
  }
  for (const volume of spec.volumes ?? []) {
    collectVolume(volume, found);
    if (volume.ephemeral !== undefined) found.claims.add(`${podName}-${volume.name}`);
  }
  for (const { name } of spec.imagePullSecrets ?? []) add(found.secrets, name);
  return { ...found, serviceAccount: spec.serviceAccountName || undefined };
}

/** Claims of devices by their names. `isTold`: the status names some, which were made for the pod and may be made anew. */
export function deviceClaimsOf({ spec, status }: Pod): {
  readonly names: readonly string[];
  readonly isTold: boolean;
} {
  const claims = spec?.resourceClaims ?? [];
  const statuses = new Map((status?.resourceClaimStatuses ?? []).map((one) => [one.name, one.resourceClaimName]));
  const named = claims.flatMap((claim) => claim.resourceClaimName ?? statuses.get(claim.name) ?? []);
  const extended = status?.extendedResourceClaimStatus?.resourceClaimName;
  const names = extended === undefined ? named : [...named, extended];
  return {
    names,
    isTold: claims.some((claim) => claim.resourceClaimName === undefined),
  };
}
