import { pathSegmentName } from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Role, RoleBinding } from '#api/object/kinds.ts';
import { validateDnsSubdomain } from './validation/format.ts';

const RBAC_GROUP = 'rbac.authorization.k8s.io';

type Rules = NonNullable<Role['rules']>;
type Subjects = NonNullable<RoleBinding['subjects']>;

/** `allowNonResource`: cluster roles alone may speak of URL paths. */
export function validateRules(rules: Rules | null | undefined, allowNonResource: boolean): FieldError[] {
  return (rules ?? []).flatMap((rule, i) => {
    const path = `rules[${i}]`;
    const errors: FieldError[] = [];
    if ((rule.verbs ?? []).length === 0)
      errors.push(required(`${path}.verbs`, 'verbs must contain at least one value'));
    if ((rule.nonResourceURLs ?? []).length > 0) {
      if (!allowNonResource) {
        errors.push(
          invalid(
            `${path}.nonResourceURLs`,
            rule.nonResourceURLs,
            'namespaced rules cannot apply to non-resource URLs',
          ),
        );
      }
      if ((rule.apiGroups ?? []).length + (rule.resources ?? []).length + (rule.resourceNames ?? []).length > 0) {
        errors.push(
          invalid(
            `${path}.nonResourceURLs`,
            rule.nonResourceURLs,
            'rules cannot apply to both regular resources and non-resource URLs',
          ),
        );
      }
      return errors;
    }
    if ((rule.apiGroups ?? []).length === 0) {
      errors.push(required(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
    }
    if ((rule.resources ?? []).length === 0) {
      errors.push(required(`${path}.resources`, 'resource rules must supply at least one resource'));
    }
    return errors;
  });
}

/** Groups of subjects and of the role that clients may leave out. */
export function applyBindingDefaults(binding: { roleRef?: RoleBinding['roleRef']; subjects?: Subjects | null }): void {
  if (binding.roleRef !== undefined) binding.roleRef.apiGroup ||= RBAC_GROUP;
  for (const subject of binding.subjects ?? []) {
    if (subject.apiGroup) continue;
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup = RBAC_GROUP;
  }
}

/** A ServiceAccount's namespace may be left out in RoleBindings alone. */
export function validateSubjects(subjects: Subjects | null | undefined, namespaced: boolean): FieldError[] {
  return (subjects ?? []).flatMap((subject, i) => {
    const path = `subjects[${i}]`;
    const errors: FieldError[] = [];
    if (!subject.name) errors.push(required(`${path}.name`));
    switch (subject.kind) {
      case 'ServiceAccount':
        if (subject.name) errors.push(...validateDnsSubdomain(subject.name, `${path}.name`));
        if (subject.apiGroup) errors.push(notSupported(`${path}.apiGroup`, subject.apiGroup, ['']));
        if (!namespaced && !subject.namespace) errors.push(required(`${path}.namespace`));
        break;
      case 'User':
      case 'Group':
        if (subject.apiGroup !== RBAC_GROUP)
          errors.push(notSupported(`${path}.apiGroup`, subject.apiGroup, [RBAC_GROUP]));
        break;
      default:
        errors.push(notSupported(`${path}.kind`, subject.kind ?? '', ['ServiceAccount', 'User', 'Group']));
    }
    return errors;
  });
}

export function validateRoleRef(roleRef: RoleBinding['roleRef'] | undefined, kinds: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  const { apiGroup = '', kind = '', name = '' } = roleRef ?? {};
  if (apiGroup !== RBAC_GROUP) errors.push(notSupported('roleRef.apiGroup', apiGroup, [RBAC_GROUP]));
  if (!kinds.includes(kind)) errors.push(notSupported('roleRef.kind', kind, kinds));
  if (name === '') return [...errors, required('roleRef.name')];
  return [...errors, ...pathSegmentName(name).map((message) => invalid('roleRef.name', name, message))];
}

export function validateRoleRefUpdate(roleRef: unknown, old: unknown): FieldError[] {
  return deepEqual(roleRef, old) ? [] : [invalid('roleRef', roleRef, 'cannot change roleRef')];
}

export function validateAggregationRule(rule: { clusterRoleSelectors?: readonly object[] } | undefined): FieldError[] {
  if (rule === undefined || (rule.clusterRoleSelectors ?? []).length > 0) return [];
  return [
    required(
      'aggregationRule.clusterRoleSelectors',
      'at least one clusterRoleSelector required if aggregationRule is non-nil',
    ),
  ];
}

/** The Users, Groups and ServiceAccounts cells. */
export function subjectCells(subjects: Subjects | null | undefined): [string, string, string] {
  const of = (kind: string) => (subjects ?? []).filter((subject) => subject.kind === kind);
  return [
    of('User')
      .map((s) => s.name)
      .join(', '),
    of('Group')
      .map((s) => s.name)
      .join(', '),
    of('ServiceAccount')
      .map((s) => `${s.namespace ?? ''}/${s.name}`)
      .join(', '),
  ];
}
