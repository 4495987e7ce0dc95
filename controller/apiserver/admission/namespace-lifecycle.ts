import { ApiError, forbidden, notFound } from '#api/object/api-error.ts';
import type { Namespace } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';

/** Namespaces that the cluster itself lives on. */
const IMMORTAL: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

const NAMESPACES = { group: '', resource: 'namespaces' };

/** Questions are answered in any namespace: they store nothing. */
const isQuestion = ({ resource }: AdmissionRequest): boolean => resource.virtualCreate !== undefined;

function terminating({ resource, name, namespace }: AdmissionRequest): ApiError {
  const base = forbidden(
    resource,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  return new ApiError(base.code, base.reason, base.message, {
    ...base.details,
    causes: [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  });
}

/** Nothing is created in a namespace that is missing or going, and the system's own namespaces stay. */
export function namespaceLifecycle({ store }: { readonly store: Store }): AdmissionPlugin {
  return {
    name: 'NamespaceLifecycle',
    handles: (request) =>
      request.resource.namespaced || (request.resource.resource === 'namespaces' && request.operation === 'DELETE'),
    admit(request) {
      const { operation, resource, namespace, name } = request;
      if (resource.group === '' && resource.resource === 'namespaces') {
        if (IMMORTAL.has(name)) throw forbidden(NAMESPACES, name, 'this namespace may not be deleted');
        return;
      }
      // Whatever is there may always be deleted, and finish what it is doing.
      if (operation !== 'CREATE' || isQuestion(request)) return;
      const found = store.snapshot().get(`/registry/namespaces/${namespace}`)?.object() as Namespace | undefined;
      if (found === undefined) throw notFound(NAMESPACES, namespace);
      if (found.status?.phase === 'Terminating') throw terminating(request);
    },
  };
}
