import { badRequest } from '#api/object/api-error.ts';
import { parseServiceAccountUserName, serviceAccountGroups } from '../../authenticate/service-account-user.ts';
import { denied, type ResourceQuestion, resourceAttributes } from '../../authorize/attributes.ts';
import type { ApiRequest } from '../../server/api-request.ts';
import { headersBelow, headerValues } from '../../server/header-values.ts';
import type { Authorizer, Filter, RequestContext, UserInfo } from '../request-context.ts';

const EXTRA_PREFIX = 'impersonate-extra-';
const ANONYMOUS = 'system:anonymous';
const AUTHENTICATED = 'system:authenticated';
const UNAUTHENTICATED = 'system:unauthenticated';
const AUTHENTICATION_GROUP = 'authentication.k8s.io';

interface Wish {
  readonly userName: string;
  readonly uid: string | undefined;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Keys are percent-encoded because header names know few characters; one that cannot be decoded is taken as it is, as in Kubernetes. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

function extraOf(request: ApiRequest): Record<string, readonly string[]> {
  return Object.fromEntries([...headersBelow(request, EXTRA_PREFIX)].map(([key, values]) => [decodeKey(key), values]));
}

/** What the Impersonate-* headers ask for; undefined without any. Throws 400 for details without a user. */
function readImpersonation(request: ApiRequest): Wish | undefined {
  const userName = request.header('impersonate-user') ?? '';
  const uid = request.header('impersonate-uid') || undefined;
  const groups = headerValues(request, 'impersonate-group').filter((group) => group !== '');
  const extra = extraOf(request);
  if (userName !== '') return { userName, uid, groups, extra };
  if (uid === undefined && groups.length === 0 && Object.keys(extra).length === 0) return undefined;
  throw badRequest('requested impersonation of a uid, groups or extra values without impersonating a user');
}

/** Everything that must be allowed for the wish to come true. */
function impersonationQuestions({ userName, uid, groups, extra }: Wish): ResourceQuestion[] {
  const account = parseServiceAccountUserName(userName);
  const verb = 'impersonate';
  return [
    account === undefined
      ? { verb, group: '', resource: 'users', name: userName }
      : { verb, group: '', resource: 'serviceaccounts', namespace: account.namespace, name: account.name },
    ...(uid === undefined ? [] : [{ verb, group: AUTHENTICATION_GROUP, resource: 'uids', name: uid }]),
    ...groups.map((name) => ({ verb, group: '', resource: 'groups', name })),
    ...Object.entries(extra).flatMap(([subresource, values]) =>
      values.map((name) => ({ verb, group: AUTHENTICATION_GROUP, resource: 'userextras', subresource, name })),
    ),
  ];
}

/** Every user is in the one or the other of these groups; a wish for one of them is not added to. */
function withStanding(groups: readonly string[], userName: string): readonly string[] {
  if (userName === ANONYMOUS) return groups.includes(UNAUTHENTICATED) ? groups : [...groups, UNAUTHENTICATED];
  return groups.includes(AUTHENTICATED) || groups.includes(UNAUTHENTICATED) ? groups : [...groups, AUTHENTICATED];
}

function impersonatedUser({ userName, uid, groups, extra }: Wish): UserInfo {
  const account = parseServiceAccountUserName(userName);
  const own = groups.length === 0 && account !== undefined ? serviceAccountGroups(account.namespace) : groups;
  return {
    name: userName,
    groups: withStanding(own, userName),
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** `kubectl --as`: each part of the wish needs the verb `impersonate`. */
export function createImpersonateFilter({ authorizer }: { readonly authorizer: Authorizer }): Filter {
  const impersonate = (context: RequestContext, wish: Wish): void => {
    for (const question of impersonationQuestions(wish)) {
      const attributes = resourceAttributes(context.user, question);
      const answer = authorizer.authorize(attributes);
      if (answer.decision !== 'allow') throw denied(attributes, answer.reason);
    }
    context.impersonator = context.user;
    context.user = impersonatedUser(wish);
  };
  return {
    name: 'impersonate',
    run(context, next) {
      const wish = readImpersonation(context.request);
      if (wish !== undefined) impersonate(context, wish);
      return next();
    },
  };
}
