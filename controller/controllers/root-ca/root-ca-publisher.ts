import { isAlreadyExists } from '#api/object/api-error.ts';
import { type ConfigMap, type Namespace, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { isNamespaceTerminating } from '../controller-ref.ts';

const NAME = 'kube-root-ca.crt';
/** What the API server tells of the CAs that it trusts: they sign its own certificate too. */
const AUTHENTICATION = { namespace: 'kube-system', name: 'extension-apiserver-authentication' };
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

/** Keeps the CA of the API server in a ConfigMap of every namespace, where the projected volume of each pod finds it. */
export function startRootCaPublisher(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  // Only these: a cache of all ConfigMaps would cost memory for nothing.
  const published = context.informers.informer<ConfigMap>(resources.configMaps, {
    fieldSelector: `metadata.name=${NAME}`,
  });
  // A rotated CA is told of here first.
  const authentication = context.informers.informer<ConfigMap>(resources.configMaps, {
    namespace: AUTHENTICATION.namespace,
    fieldSelector: `metadata.name=${AUTHENTICATION.name}`,
  });
  const configMaps = context.client.resource<ConfigMap>(resources.configMaps);
  const rootCa = () =>
    authentication.byKey(objectKey(AUTHENTICATION.namespace, AUTHENTICATION.name))?.data?.['client-ca-file'] ||
    context.config.rootCa;
  const annotations = { 'kubernetes.io/description': DESCRIPTION };

  async function sync(name: ObjectKey): Promise<void> {
    const namespace = namespaces.byKey(name);
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
    const data = { 'ca.crt': rootCa() };
    const current = published.byKey(objectKey(name, NAME));
    if (current === undefined) return create(name, data);
    const isRight = current.data?.['ca.crt'] === data['ca.crt'] && Object.keys(current.data).length === 1;
    const isDescribed = current.metadata.annotations?.['kubernetes.io/description'] === DESCRIPTION;
    if (isRight && isDescribed) return;
    const metadata = { ...current.metadata, annotations: { ...current.metadata.annotations, ...annotations } };
    await configMaps.update({ ...current, metadata, data });
  }

  async function create(namespace: string, data: Record<string, string>): Promise<void> {
    try {
      await configMaps.create({ metadata: { name: NAME, namespace, annotations }, data });
    } catch (err) {
      if (!isAlreadyExists(err) && !isNamespaceTerminating(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'root-ca-certificate-publisher', sync });
  const enqueue = (namespace: string | undefined) => queue.add(objectKey(undefined, namespace ?? ''));
  namespaces.addHandler({
    onAdd: ({ metadata }) => enqueue(metadata.name),
    onUpdate: (_, { metadata }) => enqueue(metadata.name),
  });
  published.addHandler({
    onUpdate: (_, { metadata }) => enqueue(metadata.namespace),
    onDelete: ({ metadata }) => enqueue(metadata.namespace),
  });
  const enqueueAll = () => {
    for (const { metadata } of namespaces.list()) enqueue(metadata.name);
  };
  authentication.addHandler({ onAdd: enqueueAll, onUpdate: enqueueAll });
  return runQueue(queue, [namespaces, published, authentication], signal);
}
