import { Quantity } from '#api/meta/quantity.ts';
import { forbidden } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';

interface Claim {
  readonly metadata: KubeObject['metadata'];
  readonly spec?: {
    readonly storageClassName?: string;
    readonly resources?: { readonly requests?: Readonly<Record<string, string>> };
  };
  readonly status?: { readonly phase?: string };
}

const CLAIMS = { group: '', resource: 'persistentvolumeclaims' };
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

const sizeOf = ({ spec }: Claim): string => spec?.resources?.requests?.storage ?? '0';
const classOf = ({ metadata, spec }: Claim): string =>
  metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '';

/** A claim grows only when it is bound and its class can make volumes grow. */
export function claimResize({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  const canGrow = (className: string): boolean => {
    const found = store.snapshot().get(`/registry/storageclasses/${className}`)?.object();
    return (found as { allowVolumeExpansion?: boolean } | undefined)?.allowVolumeExpansion === true;
  };
  return {
    name: 'PersistentVolumeClaimResize',
    handles: ({ resource, operation, subresource }) =>
      operation === 'UPDATE' &&
      subresource === '' &&
      resource.resource === CLAIMS.resource &&
      resource.group === CLAIMS.group,
    validate({ object, oldObject, name }) {
      const [claim, old] = [object as unknown as Claim, oldObject as unknown as Claim];
      if (Quantity.parse(sizeOf(claim)).compare(Quantity.parse(sizeOf(old))) <= 0) return;
      if (old.status?.phase !== 'Bound') {
        throw forbidden(CLAIMS, name, 'Only bound persistent volume claims can be expanded');
      }
      const className = classOf(claim);
      if (className !== '' && className === classOf(old) && canGrow(className)) return;
      const why =
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize';
      throw forbidden(CLAIMS, name, why);
    },
  };
}
