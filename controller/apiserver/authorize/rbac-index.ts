import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '#api/object/kinds.ts';
import type { AuthorizerDecision } from '../chain/request-context.ts';
import { type CompiledRule, compileRule, subjectKey } from './rule-resolver.ts';

/** Where a binding gets its rules: `ClusterRole:name` or `Role:namespace/name`. */
type RoleKey = string;

interface BindingEntry {
  readonly roleKey: RoleKey;
  readonly subjects: readonly BoundSubject[];
  /** `RoleBinding "name/namespace" of Role "name"` */
  readonly title: string;
}

interface BoundSubject {
  readonly key: string;
  /** `ServiceAccount "name/namespace"` */
  readonly title: string;
}

/** The rules that a subject has through one binding, and the answer of each of them. */
export interface Grant {
  readonly rules: readonly CompiledRule[];
  readonly decision: AuthorizerDecision;
}

/** An answer whose reason is put into words when somebody reads it: audit does, most requests are not audited. */
class Allowance implements AuthorizerDecision {
  readonly decision = 'allow';
  readonly #binding: BindingEntry;
  readonly #subjects: readonly string[];
  #reason: string | undefined;

  constructor(binding: BindingEntry, subjects: readonly string[]) {
    this.#binding = binding;
    this.#subjects = subjects;
  }

  get reason(): string {
    if (this.#reason === undefined) {
      const { title, subjects } = this.#binding;
      const to = subjects.find(({ key }) => this.#subjects.includes(key));
      this.#reason = `RBAC: allowed by ${title} to ${to?.title}`;
    }
    return this.#reason;
  }
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
    for (const { key } of entry.subjects) {
      const entries = this.#bySubject.get(key);
      if (entries === undefined) this.#bySubject.set(key, new Set([entry]));
      else entries.add(entry);
    }
  }

  delete(name: string): void {
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    this.#byName.delete(name);
    for (const { key } of entry.subjects) {
      const entries = this.#bySubject.get(key);
      entries?.delete(entry);
      if (entries?.size === 0) this.#bySubject.delete(key);
    }
  }

  /** Roles bound to any of the subjects, each once, with the first binding that does it. */
  bindingsOf(subjects: readonly string[]): ReadonlyMap<RoleKey, BindingEntry> {
    const found = new Map<RoleKey, BindingEntry>();
    for (const subject of subjects) {
      for (const entry of this.#bySubject.get(subject) ?? []) {
        if (!found.has(entry.roleKey)) found.set(entry.roleKey, entry);
      }
    }
    return found;
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

function entryOf(binding: RoleBinding | ClusterRoleBinding, namespace: string, roleKey: RoleKey): BindingEntry {
  const { metadata, roleRef, subjects = [] } = binding;
  const place = namespace === '' ? '' : `/${namespace}`;
  const bound = subjects.flatMap((subject): BoundSubject[] => {
    const key = subjectKey(subject, namespace);
    if (key === undefined) return [];
    const home = subject.kind === 'ServiceAccount' ? `/${subject.namespace || namespace}` : '';
    return [{ key, title: `${subject.kind} ${JSON.stringify(subject.name + home)}` }];
  });
  const kind = namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding';
  const role = `${roleRef.kind} ${JSON.stringify(roleRef.name)}`;
  return { roleKey, subjects: bound, title: `${kind} ${JSON.stringify(metadata.name + place)} of ${role}` };
}

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
    this.#cluster.put(binding.metadata.name, entryOf(binding, '', clusterRoleKey(binding.roleRef.name)));
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
    scope.put(binding.metadata.name, entryOf(binding, namespace, refKey(binding.roleRef, namespace)));
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

  /** What holds everywhere for any of these subjects. */
  clusterGrantsOf(subjects: readonly string[]): Grant[] {
    return this.#grantsIn(this.#cluster, subjects);
  }

  /** What holds in this namespace alone. */
  namespaceGrantsOf(namespace: string, subjects: readonly string[]): Grant[] {
    const scope = this.#namespaces.get(namespace);
    return scope === undefined ? [] : this.#grantsIn(scope, subjects);
  }

  #grantsIn(scope: BindingScope, subjects: readonly string[]): Grant[] {
    return [...scope.bindingsOf(subjects)].flatMap(([key, binding]) => {
      const rules = this.#roles.get(key) ?? [];
      return rules.length === 0 ? [] : { rules, decision: new Allowance(binding, subjects) };
    });
  }
}
