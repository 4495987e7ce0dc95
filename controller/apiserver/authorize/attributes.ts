import { ApiError, forbidden } from '#api/object/api-error.ts';
import type { AuthorizationAttributes, RequestInfo, UserInfo } from '../chain/request-context.ts';

/** What an authorizer is asked about this request. */
export function attributesOf(user: UserInfo, info: RequestInfo): AuthorizationAttributes {
  return {
    user,
    verb: info.verb,
    isResourceRequest: info.isResourceRequest,
    path: info.path,
    group: info.group,
    version: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    fieldSelector: info.fieldSelector,
  };
}

export interface ResourceQuestion {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** A question of our own about a resource: may this user impersonate, approve, bind ...? */
export function resourceAttributes(user: UserInfo, question: ResourceQuestion): AuthorizationAttributes {
  return {
    user,
    isResourceRequest: true,
    path: '',
    version: '*',
    subresource: '',
    namespace: '',
    name: '',
    ...question,
  };
}

/** `User "x" cannot list resource "pods" in API group "" in the namespace "y"`, in Kubernetes' words. */
function denialText(attributes: AuthorizationAttributes): string {
  const { user, verb, isResourceRequest, path, group, resource, subresource, namespace } = attributes;
  const subject = `User ${JSON.stringify(user.name)} cannot ${verb}`;
  if (!isResourceRequest) return `${subject} path ${JSON.stringify(path)}`;
  const target = subresource === '' ? resource : `${resource}/${subresource}`;
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${subject} resource ${JSON.stringify(target)} in API group ${JSON.stringify(group)} ${scope}`;
}

/** The 403 answer; `reason` is what the authorizers had to say, often nothing. */
export function denied(attributes: AuthorizationAttributes, reason: string): ApiError {
  const text = reason === '' ? denialText(attributes) : `${denialText(attributes)}: ${reason}`;
  return attributes.isResourceRequest
    ? forbidden({ group: attributes.group, resource: attributes.resource }, attributes.name, text)
    : new ApiError(403, 'Forbidden', `forbidden: ${text}`, {});
}
