import { ApiError, badRequest, notFound } from '#api/object/api-error.ts';
import type { Node, Pod } from '#api/object/kinds.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceServices } from '../registry/resource-definition.ts';
import { kubeletPort } from './kubelet-client.ts';

const DEFAULT_CONTAINER_ANNOTATION = 'kubectl.kubernetes.io/default-container';
const NODE_PREFIX = '/registry/minions';

/** The pod that a subresource request names; 404 when there is none. */
export function findPod({ info }: RequestContext, { store, resource }: SubresourceServices): Pod {
  const found = store.snapshot().get(`${resource.storagePrefix}/${info.namespace}/${info.name}`);
  if (found === undefined) throw notFound({ group: '', resource: 'pods' }, info.name);
  return found.object() as Pod;
}

export interface KubeletLocation {
  readonly name: string;
  readonly port: number;
}

/** Where the pod's kubelet is; 400 while the pod has no node. */
export function locateKubelet(pod: Pod, { store }: Pick<SubresourceServices, 'store'>): KubeletLocation {
  const nodeName = pod.spec?.nodeName ?? '';
  if (nodeName === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  return locateNode(nodeName, { store });
}

function locateNode(nodeName: string, { store }: Pick<SubresourceServices, 'store'>): KubeletLocation {
  const node = store.snapshot().get(`${NODE_PREFIX}/${nodeName}`)?.object() as Node | undefined;
  if (node === undefined) throw notFound({ group: '', resource: 'nodes' }, nodeName);
  return { name: nodeName, port: kubeletPort(node) };
}

const names = (containers: readonly { readonly name: string }[] | undefined) =>
  (containers ?? []).map(({ name }) => name);

/**
 * The container that a request means: the named one, else the annotated default, else the only one. kubectl resolves the default itself;
 * other clients get the same answer here.
 */
export function chooseContainer(pod: Pod, requested: string): string {
  const containers = names(pod.spec?.containers);
  const initContainers = names(pod.spec?.initContainers);
  const ephemeralContainers = names(pod.spec?.ephemeralContainers);
  const podName = pod.metadata.name;
  if (requested !== '') {
    if ([...containers, ...initContainers, ...ephemeralContainers].includes(requested)) return requested;
    throw badRequest(`container ${requested} is not valid for pod ${podName}`);
  }
  const annotated = pod.metadata.annotations?.[DEFAULT_CONTAINER_ANNOTATION];
  if (annotated !== undefined && containers.includes(annotated)) return annotated;
  const [only, ...others] = containers;
  if (only === undefined) throw badRequest(`a container name must be specified for pod ${podName}`);
  if (others.length === 0) return only;
  const init = initContainers.length === 0 ? '' : ` or one of the init containers: [${initContainers.join(' ')}]`;
  throw badRequest(
    `a container name must be specified for pod ${podName}, choose one of: [${containers.join(' ')}]${init}`,
  );
}

/** A kubelet's error in the API's form: its own words, under the code it gave. */
export function kubeletError(statusCode: number, message: string): ApiError {
  if (statusCode === 400) return badRequest(message);
  if (statusCode === 404) return new ApiError(404, 'NotFound', message);
  if (statusCode === 401 || statusCode === 403)
    return new ApiError(
      500,
      'InternalError',
      `Internal error occurred: the kubelet refused the API server: ${message}`,
    );
  return new ApiError(500, 'InternalError', `Internal error occurred: ${message}`);
}
