import type { KubeObject } from '#api/object/kube-object.ts';
import { successStatus } from '../chain/status-answer.ts';
import { deleteObject } from '../registry/delete-object.ts';
import { readStored } from '../registry/encode-object.ts';
import { answerObject, answerValue } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { readDeleteOptions } from './delete-options.ts';

/** DELETE of one object: its last state for kinds that die gracefully or are held back, a Status for those that are gone. */
export async function handleDelete(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, namespace, name } = target;
  const { wish, dryRun } = await readDeleteOptions(services, context);
  const { isRemoved, view } = await deleteObject(services, { context, definition, namespace, name, wish, dryRun });
  if (!isRemoved || definition.graceful !== undefined) {
    const status = !isRemoved && wish.propagationPolicy === 'Foreground' ? 202 : 200;
    answerObject(services, context, definition, { status, view });
    return;
  }
  const object: KubeObject = readStored(definition, view);
  const { group, resource } = definition;
  answerValue(context, 200, successStatus({ name, group, resource, uid: object.metadata.uid }));
}
