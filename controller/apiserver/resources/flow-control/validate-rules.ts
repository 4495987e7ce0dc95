import type { IFlowSchema } from 'kubernetes-models/flowcontrol.apiserver.k8s.io/v1/FlowSchema';
import { dns1123Label } from '#api/meta/names.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import { validateDnsLabel, validateDnsSubdomain } from '../validation/format.ts';

type Rules = NonNullable<NonNullable<IFlowSchema['spec']>['rules']>;
type Rule = Rules[number];
type Subject = NonNullable<Rule['subjects']>[number];
type ResourceRule = NonNullable<Rule['resourceRules']>[number];
type NonResourceRule = NonNullable<Rule['nonResourceRules']>[number];

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

/** Subject kind, in the order in which foreign parts are named, and the field that carries it. */
const SUBJECT_PARTS = [
  ['ServiceAccount', 'serviceAccount'],
  ['User', 'user'],
  ['Group', 'group'],
] as const;

function validateServiceAccount(account: Subject['serviceAccount'], path: string): FieldError[] {
  if (account === undefined)
    return [required(path, "serviceAccount is required when subject kind is 'ServiceAccount'")];
  const errors: FieldError[] = [];
  if (!account.name) errors.push(required(`${path}.name`));
  else if (account.name !== '*') errors.push(...validateDnsSubdomain(account.name, `${path}.name`));
  if (account.namespace) errors.push(...validateDnsLabel(account.namespace, `${path}.namespace`));
  else errors.push(required(`${path}.namespace`, 'must specify namespace for service account'));
  return errors;
}

function validateSubject(subject: Subject, path: string): FieldError[] {
  const known = SUBJECT_PARTS.find(([kind]) => kind === subject.kind);
  if (known === undefined) {
    return [notSupported(`${path}.kind`, subject.kind ?? '', ['Group', 'ServiceAccount', 'User'])];
  }
  const [kind, part] = known;
  const errors: FieldError[] = [];
  if (part === 'serviceAccount') {
    errors.push(...validateServiceAccount(subject.serviceAccount, `${path}.${part}`));
  } else if (subject[part] === undefined) {
    errors.push(required(`${path}.${part}`, `${part} is required when subject kind is '${kind}'`));
  } else if (!subject[part].name) {
    errors.push(required(`${path}.${part}.name`));
  }
  for (const [otherKind, other] of SUBJECT_PARTS) {
    if (other === part || subject[other] === undefined) continue;
    errors.push(forbiddenField(`${path}.${other}`, `${other} is forbidden when subject kind is not '${otherKind}'`));
  }
  return errors;
}

function validateVerbs(verbs: readonly string[] | undefined, path: string): FieldError[] {
  if (verbs === undefined || verbs.length === 0) return [required(path, 'verbs must contain at least one value')];
  if (verbs.includes('*')) {
    return verbs.length > 1 ? [invalid(path, verbs, "if '*' is present, must not specify other verbs")] : [];
  }
  return verbs.every((verb) => VERBS.includes(verb)) ? [] : [notSupported(path, verbs, VERBS)];
}

function validateUrl(url: string, path: string): FieldError[] {
  if (url === '') return [invalid(path, url, 'must not be empty')];
  if (url === '/') return [];
  if (!url.startsWith('/')) return [invalid(path, url, 'must start with slash')];
  if (url.includes(' ')) return [invalid(path, url, 'must not contain white-space')];
  if (url.includes('//')) return [invalid(path, url, 'must not contain double slash')];
  const wildcards = url.split('*').length - 1;
  return wildcards > 1 || (wildcards === 1 && !url.endsWith('/*'))
    ? [invalid(path, url, 'wildcard can only do suffix matching')]
    : [];
}

function validateNonResourceRule(rule: NonResourceRule, path: string): FieldError[] {
  const errors = validateVerbs(rule.verbs, `${path}.verbs`);
  const urls = rule.nonResourceURLs ?? [];
  const at = `${path}.nonResourceURLs`;
  if (urls.length === 0) errors.push(required(at, 'nonResourceURLs must contain at least one value'));
  else if (!urls.includes('*')) errors.push(...urls.flatMap((url, i) => validateUrl(url, `${at}[${i}]`)));
  else if (urls.length > 1) {
    errors.push(invalid(at, urls, "if '*' is present, must not specify other non-resource URLs"));
  }
  return errors;
}

/** A list that names something, or `*` alone. */
function validateList(
  list: readonly string[] | undefined,
  what: [one: string, other: string],
  path: string,
): FieldError[] {
  const [one, other] = what;
  if (list === undefined || list.length === 0) {
    return [required(path, `resource rules must supply at least one ${one}`)];
  }
  return list.length > 1 && list.includes('*')
    ? [invalid(path, list, `if '*' is present, must not specify other ${other}`)]
    : [];
}

function validateNamespaces({ namespaces = [], clusterScope }: ResourceRule, path: string): FieldError[] {
  if (namespaces.length === 0) {
    return clusterScope
      ? []
      : [required(path, 'resource rules that are not cluster scoped must supply at least one namespace')];
  }
  if (namespaces.includes('*')) {
    return namespaces.length > 1
      ? [invalid(path, namespaces, "if '*' is present, must not specify other namespaces")]
      : [];
  }
  return namespaces.flatMap((namespace, i) =>
    dns1123Label(namespace).map((message) =>
      invalid(`${path}[${i}]`, namespace, `each member of this list must be '*' or a DNS-1123 label; ${message}`),
    ),
  );
}

function validateResourceRule(rule: ResourceRule, path: string): FieldError[] {
  return [
    ...validateVerbs(rule.verbs, `${path}.verbs`),
    ...validateList(rule.apiGroups, ['api group', 'api groups'], `${path}.apiGroups`),
    ...validateList(rule.resources, ['resource', 'resources'], `${path}.resources`),
    ...validateNamespaces(rule, `${path}.namespaces`),
  ];
}

/** `spec.rules` of FlowSchemas: whose requests for what. */
export function validateFlowRules(rules: Rules | undefined, path: string): FieldError[] {
  return (rules ?? []).flatMap(({ subjects = [], resourceRules = [], nonResourceRules = [] }, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    if (subjects.length === 0) errors.push(required(`${at}.subjects`, 'subjects must contain at least one value'));
    errors.push(...subjects.flatMap((subject, j) => validateSubject(subject, `${at}.subjects[${j}]`)));
    if (resourceRules.length + nonResourceRules.length === 0) {
      errors.push(required(at, 'at least one of resourceRules and nonResourceRules has to be non-empty'));
    }
    errors.push(...resourceRules.flatMap((rule, j) => validateResourceRule(rule, `${at}.resourceRules[${j}]`)));
    errors.push(
      ...nonResourceRules.flatMap((rule, j) => validateNonResourceRule(rule, `${at}.nonResourceRules[${j}]`)),
    );
    return errors;
  });
}

/** `status.conditions` of both kinds: each type once, none without one. */
export function validateConditionTypes(conditions: readonly { readonly type?: string }[] | undefined): FieldError[] {
  const seen = new Set<string>();
  return (conditions ?? []).flatMap(({ type = '' }, i) => {
    const path = `status.conditions[${i}].type`;
    const errors: FieldError[] = [];
    if (seen.has(type))
      errors.push({ type: 'FieldValueDuplicate', field: path, message: `Duplicate value: ${JSON.stringify(type)}` });
    if (type === '') errors.push(required(path, 'must not be empty'));
    seen.add(type);
    return errors;
  });
}
