import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { CSIStorageCapacity, PersistentVolumeClaim, StorageClass } from '#api/object/kinds.ts';
import { classOf, NO_PROVISIONER, requestedSize } from '#api/storage/claims.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { VolumeView } from '../framework/volume-view.ts';

const NO_SPACE = 'node(s) did not have enough free storage';
const NOT_MADE = "node(s) didn't find available persistent volumes to bind";

/** Why no volume can be made for the claim at this node; undefined: one can. */
export function mayProvisionOn(claim: PersistentVolumeClaim, node: NodeInfo, volumes: VolumeView): string | undefined {
  const storageClass = volumes.storageClass(classOf(claim));
  const provisioner = storageClass?.provisioner ?? '';
  if (storageClass === undefined || provisioner === '' || provisioner === NO_PROVISIONER) return NOT_MADE;
  if (!isAllowed(storageClass, node)) return NOT_MADE;
  return hasSpace(claim, storageClass, node, volumes) ? undefined : NO_SPACE;
}

const isAllowed = ({ allowedTopologies = [] }: StorageClass, { labels }: NodeInfo): boolean =>
  allowedTopologies.length === 0 ||
  allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => values.includes(labels[key] ?? '')),
  );

/** Only drivers that tell their capacities are asked for room. */
function hasSpace(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: NodeInfo,
  volumes: VolumeView,
): boolean {
  if (volumes.csiDriver(storageClass.provisioner)?.spec?.storageCapacity !== true) return true;
  const size = requestedSize(claim);
  return volumes
    .capacitiesOfClass(storageClass.metadata.name)
    .some((capacity) => isAtNode(capacity, node) && size.compare(largestVolume(capacity)) <= 0);
}

const largestVolume = ({ maximumVolumeSize, capacity }: CSIStorageCapacity): Quantity =>
  Quantity.parse(maximumVolumeSize ?? capacity ?? 0);

/** No topology: nowhere. */
const isAtNode = ({ nodeTopology }: CSIStorageCapacity, { labels }: NodeInfo): boolean =>
  nodeTopology !== undefined && labelSelectorFrom(nodeTopology as LabelSelectorObject).matches(labels);
