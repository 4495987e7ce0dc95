import type { AdmissionOperation } from '../admission/admission-plugin.ts';

/** `rules[]` of a webhook; defaults are applied. */
export interface WebhookRule {
  readonly operations?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly apiVersions?: readonly string[];
  /** `pods`, `pods/log`, `pods/*`, `*`, `*\/scale`, `*\/*`. */
  readonly resources?: readonly string[];
  /** `*`, `Cluster` or `Namespaced`. */
  readonly scope?: string;
}

/** What rules look at. */
export interface RuleTarget {
  readonly operation: AdmissionOperation;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** Not that of a Namespace object: those are cluster-scoped. */
  readonly isNamespaced: boolean;
}

const includes = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(wanted));

export function matchesRule(rule: WebhookRule, target: RuleTarget): boolean {
  return (
    matchesScope(rule.scope, target.isNamespaced) &&
    includes(rule.operations, target.operation) &&
    includes(rule.apiGroups, target.group) &&
    includes(rule.apiVersions, target.version) &&
    (rule.resources ?? []).some((pattern) => matchesResource(pattern, target))
  );
}

function matchesScope(scope: string | undefined, isNamespaced: boolean): boolean {
  if (scope === undefined || scope === '*') return true;
  return (scope === 'Namespaced') === isNamespaced;
}

function matchesResource(pattern: string, { resource, subresource }: RuleTarget): boolean {
  const slash = pattern.indexOf('/');
  const wanted = slash < 0 ? pattern : pattern.slice(0, slash);
  // Without a slash a pattern means the resource alone, none of its subresources.
  const wantedSubresource = slash < 0 ? '' : pattern.slice(slash + 1);
  return (wanted === '*' || wanted === resource) && (wantedSubresource === '*' || wantedSubresource === subresource);
}
