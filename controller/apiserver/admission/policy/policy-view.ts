import type { JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../../store/store.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { renderReview } from '../../webhooks/admission-review.ts';
import type { AdmissionRequest } from '../admission-plugin.ts';
import type { PolicyFacts } from './policy-activation.ts';
import { policyObjects } from './policy-objects.ts';

export type RequestView = Omit<PolicyFacts, 'params' | 'authorizer'>;

/** A request as the policies see it that asked for the kind `as`. */
export function viewRequest(
  store: Pick<Store, 'snapshot'>,
  request: AdmissionRequest,
  as: ResourceDefinition,
): RequestView {
  const objects = policyObjects(request, as);
  const review = renderReview({ uid: '', request, as, object: undefined, oldObject: undefined, reviewVersions: [] });
  const { resource, namespace } = request;
  const isNamespace = resource.group === '' && resource.resource === 'namespaces';
  const stored =
    isNamespace || namespace === '' ? undefined : store.snapshot().get(`/registry/namespaces/${namespace}`);
  return {
    request,
    review: review.request as JsonObject,
    ...objects,
    namespaceObject: stored?.object() as KubeObject | undefined,
  };
}
