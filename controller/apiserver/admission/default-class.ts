import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin, AdmissionTarget } from './admission-plugin.ts';

const isCreationOf =
  (group: string, resource: string) =>
  ({ resource: { group: ofGroup, resource: ofResource }, operation, subresource }: AdmissionTarget): boolean =>
    operation === 'CREATE' && subresource === '' && ofResource === resource && ofGroup === group;

/** Name of the class that one of `annotations` marks as the default; of several the newest, then the first by name. */
function defaultClassName(classes: Iterable<KubeObject>, annotations: readonly string[]): string | undefined {
  const marked = [...classes].filter(({ metadata }) =>
    annotations.some((annotation) => metadata.annotations?.[annotation] === 'true'),
  );
  const createdAt = ({ metadata }: KubeObject) => Date.parse(metadata.creationTimestamp ?? '') || 0;
  const nameOf = ({ metadata }: KubeObject) => metadata.name ?? '';
  marked.sort((a, b) => createdAt(b) - createdAt(a) || (nameOf(a) < nameOf(b) ? -1 : 1));
  return marked[0]?.metadata.name;
}

const classesIn = (store: Pick<Store, 'snapshot'>, prefix: string): KubeObject[] =>
  [...store.snapshot().range(prefix)].map((stored) => stored.object() as KubeObject);

const STORAGE_ANNOTATIONS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];
const CLAIM_CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

/** A claim that names no class gets the default one; '' is a name, and means none. */
export function defaultStorageClass({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    handles: isCreationOf('', 'persistentvolumeclaims'),
    admit({ object }) {
      const spec = object?.spec as { storageClassName?: string } | undefined;
      if (spec === undefined || spec.storageClassName !== undefined) return;
      if (object?.metadata.annotations?.[CLAIM_CLASS_ANNOTATION] !== undefined) return;
      const name = defaultClassName(classesIn(store, '/registry/storageclasses/'), STORAGE_ANNOTATIONS);
      if (name !== undefined) spec.storageClassName = name;
    },
  };
}

const INGRESS_ANNOTATIONS = ['ingressclass.kubernetes.io/is-default-class'];
/** What named the class before the field did. */
const INGRESS_CLASS_ANNOTATION = 'kubernetes.io/ingress.class';

/** An Ingress that names no class, in neither way, gets the default one. */
export function defaultIngressClass({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  return {
    name: 'DefaultIngressClass',
    handles: isCreationOf('networking.k8s.io', 'ingresses'),
    admit({ object }) {
      const spec = object?.spec as { ingressClassName?: string } | undefined;
      if (spec === undefined || spec.ingressClassName !== undefined) return;
      if (object?.metadata.annotations?.[INGRESS_CLASS_ANNOTATION] !== undefined) return;
      const name = defaultClassName(classesIn(store, '/registry/ingressclasses/'), INGRESS_ANNOTATIONS);
      if (name !== undefined) spec.ingressClassName = name;
    },
  };
}
