import type { RequestInfo, UserInfo } from '../chain/request-context.ts';
import type {
  Configured,
  FlowNonResourceRule,
  FlowResourceRule,
  FlowSchemaSpec,
  FlowSubject,
} from './configuration.ts';

/** Which schema a request belongs to. Pure. */

type Schema = Configured<FlowSchemaSpec>;
type RequestFacts = Pick<
  RequestInfo,
  'isResourceRequest' | 'path' | 'verb' | 'group' | 'resource' | 'subresource' | 'namespace'
>;

/** Lower precedence first; equal ones by name, as Kubernetes orders them. */
export function sortSchemas(schemas: readonly Schema[]): Schema[] {
  return [...schemas].sort(
    (a, b) => a.spec.matchingPrecedence - b.spec.matchingPrecedence || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

const ACCOUNT_PREFIX = 'system:serviceaccount:';

export function matchesSubject(user: UserInfo, subject: FlowSubject): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.user !== undefined && (subject.user.name === '*' || subject.user.name === user.name);
    case 'Group':
      return subject.group !== undefined && (subject.group.name === '*' || user.groups.includes(subject.group.name));
    case 'ServiceAccount': {
      const account = subject.serviceAccount;
      if (account === undefined) return false;
      const prefix = `${ACCOUNT_PREFIX}${account.namespace}:`;
      return account.name === '*' ? user.name.startsWith(prefix) : user.name === prefix + account.name;
    }
    default:
      return false;
  }
}

/** A wildcard stands alone in its list; validation sees to that. */
const contains = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list[0] === '*' || list.includes(value));

function matchesResourceRule(request: RequestFacts, rule: FlowResourceRule): boolean {
  if (!contains(rule.verbs, request.verb) || !contains(rule.apiGroups, request.group)) return false;
  const { resource, subresource } = request;
  if (rule.resources[0] !== '*') {
    if (!rule.resources.includes(subresource === '' ? resource : `${resource}/${subresource}`)) return false;
  }
  return request.namespace === '' ? rule.clusterScope === true : contains(rule.namespaces, request.namespace);
}

function matchesNonResourceRule({ verb, path }: RequestFacts, rule: FlowNonResourceRule): boolean {
  return contains(rule.verbs, verb) && rule.nonResourceURLs.some((url) => matchesUrl(url, path));
}

/** A rule's path covers what lies below it; `/a/*` does so by its star, `/a` likewise. */
function matchesUrl(url: string, path: string): boolean {
  if (url === '*' || url === path) return true;
  const prefix = url.endsWith('*') ? url.slice(0, -1) : url;
  return path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
}

/** The rules of a schema that speak of a certain user. */
export interface UserSchema {
  readonly schema: Schema;
  readonly resourceRules: readonly FlowResourceRule[];
  readonly nonResourceRules: readonly FlowNonResourceRule[];
}

/** What of `schemas` (in matching order) can concern `user` at all: kept per user, it makes matching a few comparisons. */
export function schemasOfUser(schemas: readonly Schema[], user: UserInfo): UserSchema[] {
  return schemas.flatMap((schema) => {
    const rules = (schema.spec.rules ?? []).filter(({ subjects }) => subjects.some((one) => matchesSubject(user, one)));
    if (rules.length === 0) return [];
    return {
      schema,
      resourceRules: rules.flatMap(({ resourceRules = [] }) => resourceRules),
      nonResourceRules: rules.flatMap(({ nonResourceRules = [] }) => nonResourceRules),
    };
  });
}

export function matchesRequest({ resourceRules, nonResourceRules }: UserSchema, request: RequestFacts): boolean {
  if (request.isResourceRequest) {
    for (const rule of resourceRules) if (matchesResourceRule(request, rule)) return true;
    return false;
  }
  for (const rule of nonResourceRules) if (matchesNonResourceRule(request, rule)) return true;
  return false;
}

/** What tells the flows of a schema apart for this request. */
export function flowDistinguisher(schema: Schema, user: UserInfo, namespace: string): string {
  switch (schema.spec.distinguisherMethod?.type) {
    case 'ByUser':
      return user.name;
    case 'ByNamespace':
      return namespace;
    default:
      return '';
  }
}
