import { isAlreadyExists } from '#api/object/api-error.ts';
import { type Namespace, resources, type ServiceAccount } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { isNamespaceTerminating } from '../controller-ref.ts';

const DEFAULT_NAME = 'default';

/** Keeps a ServiceAccount named `default` in every namespace: pods without one of their own use it. */
export function startServiceAccountController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  const accounts = context.informers.informer<ServiceAccount>(resources.serviceAccounts);

  async function sync(name: ObjectKey): Promise<void> {
    const namespace = namespaces.byKey(name);
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
    if (accounts.byKey(objectKey(name, DEFAULT_NAME)) !== undefined) return;
    try {
      await context.client
        .resource<ServiceAccount>(resources.serviceAccounts)
        .create({ metadata: { name: DEFAULT_NAME, namespace: name } });
    } catch (err) {
      if (!isAlreadyExists(err) && !isNamespaceTerminating(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'serviceaccount', sync });
  namespaces.addHandler({
    onAdd: (namespace) => queue.add(objectKey(undefined, namespace.metadata.name)),
    onUpdate: (_, namespace) => queue.add(objectKey(undefined, namespace.metadata.name)),
  });
  accounts.addHandler({
    onDelete: ({ metadata }) => {
      if (metadata.name === DEFAULT_NAME) queue.add(objectKey(undefined, metadata.namespace ?? ''));
    },
  });
  return runQueue(queue, [namespaces, accounts], signal);
}
