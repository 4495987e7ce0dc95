import { deepCopy } from '#api/object/deep-copy.ts';
import type { KubeObject } from '#api/object/kube-object.ts';

/** A write of the status changes nothing of the metadata but who manages what. */
export function keepMetadata(object: KubeObject, old: KubeObject): void {
  const { managedFields } = object.metadata;
  object.metadata = deepCopy(old.metadata);
  if (managedFields === undefined) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
  delete object.metadata.resourceVersion;
}
