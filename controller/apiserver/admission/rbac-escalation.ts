import { forbidden } from '#api/object/api-error.ts';
import type { ClusterRole, Role, RoleBinding } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import { resourceAttributes } from '../authorize/attributes.ts';
import type { RbacAuthorizer } from '../authorize/rbac-authorizer.ts';
import { type PolicyRule, uncoveredRules } from '../authorize/rule-resolver.ts';
import type { Authorizer } from '../chain/request-context.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';

const GROUP = 'rbac.authorization.k8s.io';
const ROLE_KINDS: ReadonlySet<string> = new Set(['roles', 'clusterroles']);
const BINDING_KINDS: ReadonlySet<string> = new Set(['rolebindings', 'clusterrolebindings']);

export interface RbacEscalationDeps {
  readonly store: Store;
  readonly authorizer: Authorizer;
  readonly rbac: Pick<RbacAuthorizer, 'rulesFor'>;
}

const list = (values: readonly string[] | undefined): string =>
  `[${(values ?? []).map((v) => JSON.stringify(v)).join(' ')}]`;

function ruleText(rule: PolicyRule): string {
  const parts =
    rule.nonResourceURLs === undefined
      ? [`APIGroups:${list(rule.apiGroups)}`, `Resources:${list(rule.resources)}`]
      : [`NonResourceURLs:${list(rule.nonResourceURLs)}`];
  if (rule.resourceNames !== undefined) parts.push(`ResourceNames:${list(rule.resourceNames)}`);
  return `{${[...parts, `Verbs:${list(rule.verbs)}`].join(', ')}}`;
}

/**
 * Nobody gives more than they have: writing a role needs all its rules (or the verb `escalate`), binding one needs all rules of the role
 * bound (or the verb `bind`).
 */
export function rbacEscalation({ store, authorizer, rbac }: RbacEscalationDeps): AdmissionPlugin {
  const mayDo = (
    { user, resource, namespace }: AdmissionRequest,
    verb: string,
    target: { resource: string; name: string },
  ) =>
    user.groups.includes('system:masters') ||
    authorizer.authorize(
      resourceAttributes(user, {
        verb,
        group: GROUP,
        namespace: resource.namespaced ? namespace : '',
        ...target,
      }),
    ).decision === 'allow';

  const requireRules = (request: AdmissionRequest, rules: readonly PolicyRule[]): void => {
    const { user, resource, namespace, name } = request;
    const missing = uncoveredRules(rbac.rulesFor(user, resource.namespaced ? namespace : ''), rules);
    if (missing.length === 0) return;
    const who = `user ${JSON.stringify(user.name)} (groups=${list(user.groups)})`;
    const what = `is attempting to grant RBAC permissions not currently held:\n${missing.map(ruleText).join('\n')}`;
    throw forbidden(resource, name, `${who} ${what}`);
  };

  const checkRole = (request: AdmissionRequest): void => {
    const role = request.object as unknown as Role | ClusterRole;
    const old = request.oldObject as unknown as Role | ClusterRole | undefined;
    const aggregation = 'aggregationRule' in role ? role.aggregationRule : undefined;
    const oldAggregation = old !== undefined && 'aggregationRule' in old ? old.aggregationRule : undefined;
    const isSameAggregation = JSON.stringify(aggregation) === JSON.stringify(oldAggregation);
    if (old !== undefined && isSameAggregation && JSON.stringify(old.rules) === JSON.stringify(role.rules)) return;
    if (mayDo(request, 'escalate', { resource: request.resource.resource, name: request.name })) return;
    // Whoever aggregates may end up with any rule that others label for it.
    if (aggregation !== undefined && !isSameAggregation) {
      requireRules(request, [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      ]);
    }
    requireRules(request, role.rules ?? []);
  };

  const checkBinding = (request: AdmissionRequest): void => {
    const binding = request.object as unknown as RoleBinding;
    const old = request.oldObject as unknown as RoleBinding | undefined;
    const isSame =
      old !== undefined &&
      JSON.stringify([old.roleRef, old.subjects]) === JSON.stringify([binding.roleRef, binding.subjects]);
    if (isSame) return;
    const { kind, name } = binding.roleRef;
    const isClusterRole = kind === 'ClusterRole';
    if (mayDo(request, 'bind', { resource: isClusterRole ? 'clusterroles' : 'roles', name })) return;
    const key = isClusterRole ? `/registry/clusterroles/${name}` : `/registry/roles/${request.namespace}/${name}`;
    const role = store.snapshot().get(key)?.object() as Role | ClusterRole | undefined;
    if (role === undefined) throw forbidden(request.resource, request.name, `the bound ${kind} ${name} was not found`);
    requireRules(request, role.rules ?? []);
  };

  return {
    name: 'RBACEscalation',
    handles: ({ resource, operation, subresource }) =>
      resource.group === GROUP && (operation === 'CREATE' || operation === 'UPDATE') && subresource === '',
    validate(request) {
      const { resource } = request.resource;
      if (ROLE_KINDS.has(resource)) checkRole(request);
      else if (BINDING_KINDS.has(resource)) checkBinding(request);
    },
  };
}
