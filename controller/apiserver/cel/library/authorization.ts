import type { AuthorizationAttributes, Authorizer, UserInfo } from '../../chain/request-context.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import { CelOpaque, type CelValue } from '../values/value.ts';
import { member, type Overload } from './function-table.ts';

export const AUTHORIZER_TYPE = 'kubernetes.authorization.Authorizer';
export const RESOURCE_CHECK_TYPE = 'kubernetes.authorization.ResourceCheck';
const PATH_CHECK_TYPE = 'kubernetes.authorization.PathCheck';
const GROUP_CHECK_TYPE = 'kubernetes.authorization.GroupCheck';
const DECISION_TYPE = 'kubernetes.authorization.Decision';

abstract class Check extends CelOpaque {
  override equals(other: CelOpaque): boolean {
    return other === this;
  }
}

/** The `authorizer` variable: asks what the user of the request may do. */
export class CelAuthorizer extends Check {
  override readonly typeName = AUTHORIZER_TYPE;
  readonly authorizer: Authorizer;
  readonly user: UserInfo;

  constructor(authorizer: Authorizer, user: UserInfo) {
    super();
    this.authorizer = authorizer;
    this.user = user;
  }

  check(question: Partial<AuthorizationAttributes>): Decision {
    const attributes: AuthorizationAttributes = {
      user: this.user,
      verb: '',
      isResourceRequest: true,
      path: '',
      group: '',
      version: '*',
      resource: '',
      subresource: '',
      namespace: '',
      name: '',
      ...question,
    };
    const { decision, reason } = this.authorizer.authorize(attributes);
    return new Decision(decision === 'allow', reason);
  }
}

class Decision extends Check {
  override readonly typeName = DECISION_TYPE;
  readonly isAllowed: boolean;
  readonly reason: string;

  constructor(isAllowed: boolean, reason: string) {
    super();
    this.isAllowed = isAllowed;
    this.reason = reason;
  }
}

class PathCheck extends Check {
  override readonly typeName = PATH_CHECK_TYPE;
  readonly authorizer: CelAuthorizer;
  readonly path: string;

  constructor(authorizer: CelAuthorizer, path: string) {
    super();
    this.authorizer = authorizer;
    this.path = path;
  }
}

class GroupCheck extends Check {
  override readonly typeName = GROUP_CHECK_TYPE;
  readonly authorizer: CelAuthorizer;
  readonly group: string;

  constructor(authorizer: CelAuthorizer, group: string) {
    super();
    this.authorizer = authorizer;
    this.group = group;
  }
}

type Question = Pick<
  AuthorizationAttributes,
  'group' | 'resource' | 'subresource' | 'namespace' | 'name' | 'fieldSelector'
>;

/** What is asked about a resource, put together step by step. */
export class ResourceCheck extends Check {
  override readonly typeName = RESOURCE_CHECK_TYPE;
  readonly authorizer: CelAuthorizer;
  readonly question: Question;

  constructor(authorizer: CelAuthorizer, question: Question) {
    super();
    this.authorizer = authorizer;
    this.question = question;
  }

  with(part: Partial<Question>): ResourceCheck {
    return new ResourceCheck(this.authorizer, { ...this.question, ...part });
  }
}

function serviceAccount(base: CelValue | undefined, namespace: string, name: string): CelAuthorizer {
  if (!/^[a-z0-9.-]{1,253}$/.test(namespace) || !/^[a-z0-9.-]{1,253}$/.test(name)) {
    throw new CelEvaluationError('Invalid service account namespace or name');
  }
  return new CelAuthorizer((base as CelAuthorizer).authorizer, {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  });
}

const resource = (name: string): Question => ({ group: '', resource: name, subresource: '', namespace: '', name: '' });

const checkPart = (name: keyof Question): Overload =>
  member(
    name,
    `resourcecheck_${name}`,
    `(${RESOURCE_CHECK_TYPE}, string) -> ${RESOURCE_CHECK_TYPE}`,
    ([check, value]) => (check as ResourceCheck).with({ [name]: value as string }),
  );

export const AUTHORIZATION: readonly Overload[] = [
  member('path', 'authorizer_path', `(${AUTHORIZER_TYPE}, string) -> ${PATH_CHECK_TYPE}`, ([base, path]) => {
    if ((path as string).length === 0) throw new CelEvaluationError('path must not be empty');
    return new PathCheck(base as CelAuthorizer, path as string);
  }),
  member('group', 'authorizer_group', `(${AUTHORIZER_TYPE}, string) -> ${GROUP_CHECK_TYPE}`, ([base, group]) => {
    return new GroupCheck(base as CelAuthorizer, group as string);
  }),
  member(
    'serviceAccount',
    'authorizer_serviceaccount',
    `(${AUTHORIZER_TYPE}, string, string) -> ${AUTHORIZER_TYPE}`,
    ([base, namespace, name]) => serviceAccount(base, namespace as string, name as string),
  ),
  member(
    'resource',
    'groupcheck_resource',
    `(${GROUP_CHECK_TYPE}, string) -> ${RESOURCE_CHECK_TYPE}`,
    ([check, name]) => {
      const { authorizer, group } = check as GroupCheck;
      return new ResourceCheck(authorizer, { ...resource(name as string), group });
    },
  ),
  checkPart('subresource'),
  checkPart('namespace'),
  checkPart('name'),
  checkPart('fieldSelector'),
  member(
    'labelSelector',
    'resourcecheck_labelselector',
    `(${RESOURCE_CHECK_TYPE}, string) -> ${RESOURCE_CHECK_TYPE}`,
    // No authorizer here looks at label selectors; without one the question is wider, never narrower.
    ([check]) => check as ResourceCheck,
  ),
  member('check', 'pathcheck_check', `(${PATH_CHECK_TYPE}, string) -> ${DECISION_TYPE}`, ([check, verb]) => {
    const { authorizer, path } = check as PathCheck;
    return authorizer.check({ isResourceRequest: false, path, verb: verb as string, version: '' });
  }),
  member('check', 'resourcecheck_check', `(${RESOURCE_CHECK_TYPE}, string) -> ${DECISION_TYPE}`, ([check, verb]) => {
    const { authorizer, question } = check as ResourceCheck;
    return authorizer.check({ ...question, verb: verb as string });
  }),
  member('allowed', 'decision_allowed', `(${DECISION_TYPE}) -> bool`, ([value]) => (value as Decision).isAllowed),
  member('reason', 'decision_reason', `(${DECISION_TYPE}) -> string`, ([value]) => (value as Decision).reason),
  // Our authorizers answer from memory: none can fail.
  member('errored', 'decision_errored', `(${DECISION_TYPE}) -> bool`, () => false),
  member('error', 'decision_error', `(${DECISION_TYPE}) -> string`, () => ''),
];
