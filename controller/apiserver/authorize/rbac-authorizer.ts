import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AuthorizationAttributes, Authorizer, AuthorizerDecision, UserInfo } from '../chain/request-context.ts';
import { type Grant, RbacIndex } from './rbac-index.ts';
import { type CompiledRule, ruleAllows, userKeys } from './rule-resolver.ts';
import { mirrorPrefix, namesOfKey } from './store-mirror.ts';

/** What is known of one user at one generation of the index. */
interface ResolvedUser {
  readonly generation: number;
  readonly subjects: readonly string[];
  readonly cluster: readonly Grant[];
  readonly namespaces: Map<string, readonly Grant[]>;
}

export interface RbacAuthorizer extends Authorizer {
  /** Every rule that holds for the user in this namespace ('' = those of cluster scope alone). */
  rulesFor(user: UserInfo, namespace: string): readonly CompiledRule[];
  /** Grows with every change of an RBAC object. */
  readonly generation: number;
  stop(): void;
}

const NO_OPINION: AuthorizerDecision = { decision: 'noOpinion', reason: '' };

/**
 * RBAC over an index that the store keeps current. What a user may is resolved once per UserInfo object and namespace, so
 * authenticators should answer the same object for the same credentials; any RBAC change throws all of it away.
 */
class IndexedRbacAuthorizer implements RbacAuthorizer {
  readonly name = 'rbac';
  readonly #index: RbacIndex;
  readonly #stop: () => void;
  #resolved = new WeakMap<UserInfo, ResolvedUser>();

  constructor(index: RbacIndex, stop: () => void = () => {}) {
    this.#index = index;
    this.#stop = stop;
  }

  get generation(): number {
    return this.#index.generation;
  }

  stop(): void {
    this.#stop();
  }

  authorize(attributes: AuthorizationAttributes): AuthorizerDecision {
    const resolved = this.#resolve(attributes.user);
    const everywhere = decisionOf(resolved.cluster, attributes);
    if (everywhere !== undefined) return everywhere;
    if (!attributes.isResourceRequest || attributes.namespace === '') return NO_OPINION;
    return decisionOf(this.#namespaceGrants(resolved, attributes.namespace), attributes) ?? NO_OPINION;
  }

  rulesFor(user: UserInfo, namespace: string): readonly CompiledRule[] {
    const resolved = this.#resolve(user);
    const local = namespace === '' ? [] : this.#namespaceGrants(resolved, namespace);
    return [...resolved.cluster, ...local].flatMap(({ rules }) => rules);
  }

  #resolve(user: UserInfo): ResolvedUser {
    const { generation } = this.#index;
    const known = this.#resolved.get(user);
    if (known !== undefined && known.generation === generation) return known;
    const subjects = userKeys(user);
    const resolved = { generation, subjects, cluster: this.#index.clusterGrantsOf(subjects), namespaces: new Map() };
    this.#resolved.set(user, resolved);
    return resolved;
  }

  #namespaceGrants(resolved: ResolvedUser, namespace: string): readonly Grant[] {
    let grants = resolved.namespaces.get(namespace);
    if (grants === undefined) {
      grants = this.#index.namespaceGrantsOf(namespace, resolved.subjects);
      resolved.namespaces.set(namespace, grants);
    }
    return grants;
  }
}

function decisionOf(grants: readonly Grant[], attributes: AuthorizationAttributes): AuthorizerDecision | undefined {
  for (const { rules, decision } of grants) {
    for (const rule of rules) if (ruleAllows(rule, attributes)) return decision;
  }
  return undefined;
}

interface KindHandlers {
  remove(key: { readonly namespace: string; readonly name: string }): void;
  clear(): void;
}

/** Starts the RBAC authorizer on the store's current objects; `stop` ends its watches. */
export function createRbacAuthorizer(store: Store): RbacAuthorizer {
  const index = new RbacIndex();
  const mirror = (prefix: string, put: (object: unknown) => void, rest: KindHandlers) =>
    mirrorPrefix(store, prefix, {
      onPut: (stored) => put(stored.object()),
      onDelete: (stored) => rest.remove(namesOfKey(stored.key, prefix)),
      onReset: () => rest.clear(),
    });
  const stops = [
    mirror('/registry/clusterroles/', (role) => index.putClusterRole(role as ClusterRole), {
      remove: ({ name }) => index.deleteClusterRole(name),
      clear: () => index.clearRoles('ClusterRole'),
    }),
    mirror('/registry/roles/', (role) => index.putRole(role as Role), {
      remove: ({ namespace, name }) => index.deleteRole(namespace, name),
      clear: () => index.clearRoles('Role'),
    }),
    mirror('/registry/clusterrolebindings/', (binding) => index.putClusterRoleBinding(binding as ClusterRoleBinding), {
      remove: ({ name }) => index.deleteClusterRoleBinding(name),
      clear: () => index.clearClusterRoleBindings(),
    }),
    mirror('/registry/rolebindings/', (binding) => index.putRoleBinding(binding as RoleBinding), {
      remove: ({ namespace, name }) => index.deleteRoleBinding(namespace, name),
      clear: () => index.clearRoleBindings(),
    }),
  ];
  return new IndexedRbacAuthorizer(index, () => {
    for (const stop of stops) stop();
  });
}
