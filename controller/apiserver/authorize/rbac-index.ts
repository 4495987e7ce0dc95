import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '#api/object/kinds.ts';
import { type CompiledRule, compileRule, subjectKey } from './rule-resolver.ts';

/** Where a binding gets its rules: `ClusterRole:name` or `Role:namespace/name`. */
type RoleKey = string;

interface BindingEntry {
  readonly roleKey: RoleKey;
  readonly subjects: readonly string[];
}

/** Bindings of one scope (the cluster, or one namespace), found by subject. */
class BindingScope {
  readonly #byName = new Map<string, BindingEntry>();
  readonly #bySubject = new Map<string, Set<BindingEntry>>();

  get isEmpty(): boolean {
    return this.#byName.size === 0;
  }

  put(name: string, entry: BindingEntry): void {
    this.delete(name);
    this.#byName.set(name, entry);
    for (const subject of entry.subjects) {
      const entries = this.#bySubject.get(subject);
      if (entries === undefined) this.#bySubject.set(subject, new Set([entry]));
      else entries.add(entry);
    }
  }

  delete(name: string): void {
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    this.#byName.delete(name);
    for (const subject of entry.subjects) {
      const entries = this.#bySubject.get(subject);
      entries?.delete(entry);
      if (entries?.size === 0) this.#bySubject.delete(subject);
    }
  }

  /** Roles bound to any of the subjects, each once. */
  roleKeysOf(subjects: readonly string[]): Set<RoleKey> {
    const keys = new Set<RoleKey>();
    for (const subject of subjects) {
      for (const entry of this.#bySubject.get(subject) ?? []) keys.add(entry.roleKey);
    }
    return keys;
  }

  clear(): void {
    this.#byName.clear();
    this.#bySubject.clear();
  }
}

const clusterRoleKey = (name: string): RoleKey => `ClusterRole:${name}`;
const roleKey = (namespace: string, name: string): RoleKey => `Role:${namespace}/${name}`;

const refKey = (ref: { readonly kind?: string; readonly name: string }, namespace: string): RoleKey =>
  ref.kind === 'ClusterRole' ? clusterRoleKey(ref.name) : roleKey(namespace, ref.name);

const subjectsOf = (binding: RoleBinding | ClusterRoleBinding, namespace: string): string[] =>
  (binding.subjects ?? []).flatMap((subject) => subjectKey(subject, namespace) ?? []);

/** All RBAC objects, compiled, in memory. `generation` grows with every change, so that what was derived can be thrown away. */
export class RbacIndex {
  generation = 0;
  readonly #roles = new Map<RoleKey, readonly CompiledRule[]>();
  readonly #cluster = new BindingScope();
  readonly #namespaces = new Map<string, BindingScope>();

  putClusterRole(role: ClusterRole): void {
    this.#roles.set(clusterRoleKey(role.metadata.name), (role.rules ?? []).map(compileRule));
    this.generation++;
  }

  deleteClusterRole(name: string): void {
    this.#roles.delete(clusterRoleKey(name));
    this.generation++;
  }

  putRole(role: Role): void {
    this.#roles.set(roleKey(role.metadata.namespace ?? '', role.metadata.name), (role.rules ?? []).map(compileRule));
    this.generation++;
  }

  deleteRole(namespace: string, name: string): void {
    this.#roles.delete(roleKey(namespace, name));
    this.generation++;
  }

  putClusterRoleBinding(binding: ClusterRoleBinding): void {
    this.#cluster.put(binding.metadata.name, {
      roleKey: clusterRoleKey(binding.roleRef.name),
      subjects: subjectsOf(binding, ''),
    });
    this.generation++;
  }

  deleteClusterRoleBinding(name: string): void {
    this.#cluster.delete(name);
    this.generation++;
  }

  putRoleBinding(binding: RoleBinding): void {
    const namespace = binding.metadata.namespace ?? '';
    let scope = this.#namespaces.get(namespace);
    if (scope === undefined) {
      scope = new BindingScope();
      this.#namespaces.set(namespace, scope);
    }
    scope.put(binding.metadata.name, {
      roleKey: refKey(binding.roleRef, namespace),
      subjects: subjectsOf(binding, namespace),
    });
    this.generation++;
  }

  deleteRoleBinding(namespace: string, name: string): void {
    const scope = this.#namespaces.get(namespace);
    scope?.delete(name);
    if (scope?.isEmpty) this.#namespaces.delete(namespace);
    this.generation++;
  }

  clearRoles(kind: 'ClusterRole' | 'Role'): void {
    for (const key of this.#roles.keys()) if (key.startsWith(`${kind}:`)) this.#roles.delete(key);
    this.generation++;
  }

  clearClusterRoleBindings(): void {
    this.#cluster.clear();
    this.generation++;
  }

  clearRoleBindings(): void {
    this.#namespaces.clear();
    this.generation++;
  }

  /** Rules that hold everywhere for any of these subjects. */
  clusterRulesOf(subjects: readonly string[]): CompiledRule[] {
    return this.#rulesIn(this.#cluster, subjects);
  }

  /** Rules that hold in this namespace alone. */
  namespaceRulesOf(namespace: string, subjects: readonly string[]): CompiledRule[] {
    const scope = this.#namespaces.get(namespace);
    return scope === undefined ? [] : this.#rulesIn(scope, subjects);
  }

  #rulesIn(scope: BindingScope, subjects: readonly string[]): CompiledRule[] {
    return [...scope.roleKeysOf(subjects)].flatMap((key) => this.#roles.get(key) ?? []);
  }
}
