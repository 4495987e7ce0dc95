import type { AdmissionPlugin } from './admission-plugin.ts';

/** What keeps a deleted object until nobody uses it; the controllers in `controllers/storage-protection/` take it off. */
const FINALIZERS: Readonly<Record<string, string>> = {
  '/persistentvolumeclaims': 'kubernetes.io/pvc-protection',
  '/persistentvolumes': 'kubernetes.io/pv-protection',
  'storage.k8s.io/volumeattributesclasses': 'kubernetes.io/vac-protection',
};

/** No claim goes while a pod uses it, no volume while it is bound. */
export function storageObjectInUseProtection(): AdmissionPlugin {
  const finalizerOf = ({ group, resource }: { readonly group: string; readonly resource: string }) =>
    FINALIZERS[`${group}/${resource}`];
  return {
    name: 'StorageObjectInUseProtection',
    handles: ({ operation, subresource, resource }) =>
      operation === 'CREATE' && subresource === '' && finalizerOf(resource) !== undefined,
    admit({ object, resource }) {
      const [metadata, finalizer] = [object?.metadata, finalizerOf(resource)];
      if (metadata === undefined || finalizer === undefined || metadata.finalizers?.includes(finalizer)) return;
      metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
    },
  };
}
