import type { FieldError } from '#api/object/field-error.ts';
import { forbiddenField, invalidObject } from '#api/object/field-error.ts';
import type { Store } from '../../store/store.ts';
import { resourceAttributes } from '../authorize/attributes.ts';
import type { Authorizer } from '../chain/request-context.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';
import { findParamKind } from './policy/collect-params.ts';
import type { ParamKind, ParamRef } from './policy/policy-index.ts';

const GROUP = 'admissionregistration.k8s.io';
const POLICIES: ReadonlySet<string> = new Set(['validatingadmissionpolicies', 'mutatingadmissionpolicies']);
const BINDINGS: Readonly<Record<string, string>> = {
  mutatingadmissionpolicybindings: 'mutatingadmissionpolicies',
  validatingadmissionpolicybindings: 'validatingadmissionpolicies',
};

interface PolicyShape {
  readonly spec?: { readonly paramKind?: ParamKind; readonly paramRef?: ParamRef; readonly policyName?: string };
}

/**
 * A policy reads its parameters with the rights of the API server, and tells of them in its messages: so whoever writes it, or binds it to
 * an object, must be able to read those objects.
 */
export function policyParams(deps: { readonly store: Store; readonly authorizer: Authorizer }): AdmissionPlugin {
  return {
    name: 'AdmissionPolicyParams',
    handles: ({ resource, operation, subresource }) =>
      resource.group === GROUP &&
      subresource === '' &&
      (operation === 'CREATE' || operation === 'UPDATE') &&
      (POLICIES.has(resource.resource) || BINDINGS[resource.resource] !== undefined),
    validate(request) {
      const { object, oldObject, user } = request;
      if (user.groups.includes('system:masters')) return;
      const shape = object as unknown as PolicyShape;
      const old = oldObject as unknown as PolicyShape | undefined;
      const relevant = ({ spec }: PolicyShape) =>
        JSON.stringify([spec?.paramKind ?? null, spec?.paramRef ?? null, spec?.policyName ?? null]);
      if (old !== undefined && relevant(old) === relevant(shape)) return;
      const error = POLICIES.has(request.resource.resource)
        ? checkPolicy(deps.authorizer, request, shape)
        : checkBinding(deps, request, shape);
      if (error !== undefined) throw invalidObject(request.resource, request.name, [error]);
    },
  };
}

interface Params {
  readonly definition: ResourceDefinition | undefined;
  readonly paramKind: ParamKind;
  readonly namespace: string;
  readonly name: string;
}

/** What nobody serves is asked for by the name of its kind, in lower case and with an s: only rights on everything cover a guess. */
function mayGet(authorizer: Authorizer, { user }: AdmissionRequest, params: Params): boolean {
  const { definition, paramKind, namespace, name } = params;
  const slash = paramKind.apiVersion.indexOf('/');
  const group = slash < 0 ? '' : paramKind.apiVersion.slice(0, slash);
  const resource = definition?.resource ?? '*';
  const attributes = resourceAttributes(user, { verb: 'get', group, resource, namespace, name });
  return authorizer.authorize(attributes).decision === 'allow';
}

function checkPolicy(authorizer: Authorizer, request: AdmissionRequest, { spec }: PolicyShape): FieldError | undefined {
  const paramKind = spec?.paramKind;
  if (paramKind === undefined) return undefined;
  const definition = findParamKind(paramKind, request.objects?.catalog.definitions ?? []);
  const namespace = definition?.namespaced === false ? '' : '*';
  if (mayGet(authorizer, request, { definition, paramKind, namespace, name: '*' })) return undefined;
  const which = `(kind=${paramKind.kind}, apiVersion=${paramKind.apiVersion})`;
  const must = `must have "get" permission on all objects of the referenced paramKind ${which}`;
  return forbiddenField('spec.paramKind', `user ${request.user.name} ${must}`);
}

function checkBinding(
  { store, authorizer }: { readonly store: Store; readonly authorizer: Authorizer },
  request: AdmissionRequest,
  { spec }: PolicyShape,
): FieldError | undefined {
  const paramRef = spec?.paramRef;
  if (paramRef === undefined) return undefined;
  const policies = BINDINGS[request.resource.resource];
  const policy = store.snapshot().get(`/registry/${policies}/${spec?.policyName}`)?.object() as PolicyShape | undefined;
  // A binding may come before its policy: then nobody knows what it will read, and only who may read all may write it.
  const paramKind = policy?.spec?.paramKind ?? { apiVersion: '*/*', kind: '*' };
  const definition = findParamKind(paramKind, request.objects?.catalog.definitions ?? []);
  const namespace = definition?.namespaced === false ? '' : paramRef.namespace || '*';
  if (mayGet(authorizer, request, { definition, paramKind, namespace, name: paramRef.name || '*' })) return undefined;
  const lacks = 'does not have "get" permission on the object referenced by paramRef';
  return forbiddenField('spec.paramRef', `user ${request.user.name} ${lacks}`);
}
