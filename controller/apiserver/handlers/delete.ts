import type { KubeObject } from '#api/object/kube-object.ts';
import { successStatus } from '../chain/status-answer.ts';
import { deleteObject } from '../registry/delete-object.ts';
import { readStored } from '../registry/encode-object.ts';
import { answerObject, answerValue } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { readDeleteOptions } from './delete-options.ts';

/** Kinds whose delete answers the object itself: clients generated from Kubernetes' OpenAPI decode it as that. `group/resource`. */
const ANSWERING_LAST_STATE: ReadonlySet<string> = new Set([
  '/persistentvolumeclaims',
  '/persistentvolumes',
  '/pods',
  '/podtemplates',
  '/resourcequotas',
  '/serviceaccounts',
  '/services',
  'resource.k8s.io/deviceclasses',
  'resource.k8s.io/resourceclaims',
  'resource.k8s.io/resourceclaimtemplates',
  'resource.k8s.io/resourceslices',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/csinodes',
  'storage.k8s.io/storageclasses',
  'storage.k8s.io/volumeattachments',
  'storage.k8s.io/volumeattributesclasses',
]);

/** What clients are told of the answer to DELETE; while something holds the object back they get the object in any case. */
export function answersLastState({ group, resource }: { group: string; resource: string }): boolean {
  return ANSWERING_LAST_STATE.has(`${group}/${resource}`);
}

/** DELETE of one object: its last state where something holds it back or the kind says so, else a Status. */
export async function handleDelete(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, namespace, name } = target;
  const { wish, isCascading, dryRun } = await readDeleteOptions(services, context);
  const { isRemoved, view } = await deleteObject(services, { context, definition, namespace, name, wish, dryRun });
  if (!isRemoved || answersLastState(definition)) {
    answerObject(services, context, definition, { status: !isRemoved && isCascading ? 202 : 200, view });
    return;
  }
  const object: KubeObject = readStored(definition, view);
  const { group, resource } = definition;
  answerValue(context, 200, successStatus({ name, group, resource, uid: object.metadata.uid }));
}
