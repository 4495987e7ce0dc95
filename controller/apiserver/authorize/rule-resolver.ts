import type { IPolicyRule } from 'kubernetes-models/rbac.authorization.k8s.io/v1/PolicyRule';
import type { ISubject } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Subject';
import { serviceAccountUserName } from '../authenticate/service-account-user.ts';
import type { AuthorizationAttributes, UserInfo } from '../chain/request-context.ts';

export type PolicyRule = IPolicyRule;

const ALL = '*';

/** A rule ready to be asked: undefined sets mean "everything". */
export interface CompiledRule {
  readonly source: PolicyRule;
  readonly verbs: ReadonlySet<string> | undefined;
  readonly groups: ReadonlySet<string> | undefined;
  /** `pods`, `pods/log`; undefined = all resources with all subresources. */
  readonly resources: ReadonlySet<string> | undefined;
  /** Subresources allowed on every resource (rules that say for example `*` + `/scale`). */
  readonly anyResourceSubresources: ReadonlySet<string>;
  /** undefined = all names. */
  readonly names: ReadonlySet<string> | undefined;
  readonly paths: ReadonlySet<string>;
  /** Without their trailing star. */
  readonly pathPrefixes: readonly string[];
}

const setOrAll = (values: readonly string[] | undefined): ReadonlySet<string> | undefined =>
  values?.includes(ALL) ? undefined : new Set(values);

export function compileRule(rule: PolicyRule): CompiledRule {
  const resources = rule.resources ?? [];
  const urls = rule.nonResourceURLs ?? [];
  return {
    source: rule,
    verbs: setOrAll(rule.verbs),
    groups: setOrAll(rule.apiGroups),
    resources: setOrAll(resources),
    anyResourceSubresources: new Set(
      resources.filter((resource) => resource.startsWith('*/')).map((resource) => resource.slice(2)),
    ),
    names:
      rule.resourceNames === undefined || rule.resourceNames.length === 0 ? undefined : new Set(rule.resourceNames),
    paths: new Set(urls.filter((url) => !url.endsWith(ALL))),
    pathPrefixes: urls.filter((url) => url.endsWith(ALL)).map((url) => url.slice(0, -1)),
  };
}

function allowsResource(rule: CompiledRule, attributes: AuthorizationAttributes): boolean {
  const { resource, subresource } = attributes;
  if (rule.resources === undefined) return true;
  if (subresource === '') return rule.resources.has(resource);
  return rule.resources.has(`${resource}/${subresource}`) || rule.anyResourceSubresources.has(subresource);
}

/** Whether this one rule allows the request. */
export function ruleAllows(rule: CompiledRule, attributes: AuthorizationAttributes): boolean {
  if (rule.verbs !== undefined && !rule.verbs.has(attributes.verb)) return false;
  if (!attributes.isResourceRequest) {
    return rule.paths.has(attributes.path) || rule.pathPrefixes.some((prefix) => attributes.path.startsWith(prefix));
  }
  return (
    (rule.groups === undefined || rule.groups.has(attributes.group)) &&
    allowsResource(rule, attributes) &&
    (rule.names === undefined || rule.names.has(attributes.name))
  );
}

/** Key under which bindings of this subject are indexed; undefined for kinds we do not know. `namespace` is the binding's own. */
export function subjectKey(subject: ISubject, namespace: string): string | undefined {
  switch (subject.kind) {
    case 'User':
      return `u:${subject.name}`;
    case 'Group':
      return `g:${subject.name}`;
    case 'ServiceAccount': {
      const accountNamespace = subject.namespace || namespace;
      return accountNamespace === '' ? undefined : `u:${serviceAccountUserName(accountNamespace, subject.name)}`;
    }
    default:
      return undefined;
  }
}

export const userKeys = (user: UserInfo): string[] => [`u:${user.name}`, ...user.groups.map((group) => `g:${group}`)];

/** One verb on one resource (or path): the unit in which rules are compared. */
export function* breakdownRule(rule: PolicyRule): Generator<PolicyRule> {
  for (const verb of rule.verbs ?? []) {
    for (const url of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [url] };
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const base = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if ((rule.resourceNames ?? []).length === 0) yield base;
        else for (const name of rule.resourceNames ?? []) yield { ...base, resourceNames: [name] };
      }
    }
  }
}

function coversResource(owner: CompiledRule, resource: string): boolean {
  if (owner.resources === undefined || owner.resources.has(resource)) return true;
  const slash = resource.indexOf('/');
  return slash > 0 && owner.anyResourceSubresources.has(resource.slice(slash + 1));
}

function coversUrl(owner: CompiledRule, url: string): boolean {
  if (owner.paths.has(url)) return true;
  const path = url.endsWith(ALL) ? url.slice(0, -1) : url;
  return owner.pathPrefixes.some((prefix) => path.startsWith(prefix));
}

const holds = (set: ReadonlySet<string> | undefined, value: string): boolean => set === undefined || set.has(value);

function coversUnit(owner: CompiledRule, unit: PolicyRule): boolean {
  if (!holds(owner.verbs, unit.verbs[0]!)) return false;
  if (unit.nonResourceURLs !== undefined) return coversUrl(owner, unit.nonResourceURLs[0]!);
  const name = unit.resourceNames?.[0];
  return (
    holds(owner.groups, unit.apiGroups![0]!) &&
    coversResource(owner, unit.resources![0]!) &&
    (owner.names === undefined || (name !== undefined && owner.names.has(name)))
  );
}

/** Parts of `wanted` that `owned` does not hold: empty when nobody gains anything. */
export function uncoveredRules(owned: readonly CompiledRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  const missing: PolicyRule[] = [];
  for (const rule of wanted) {
    for (const unit of breakdownRule(rule)) {
      if (!owned.some((owner) => coversUnit(owner, unit))) missing.push(unit);
    }
  }
  return missing;
}
