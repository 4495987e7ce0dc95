import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuthorizationAttributes, UserInfo } from '../chain/request-context.ts';
import { createSecuredServer, type SecuredServer } from '../testing/secured-server.ts';
import {
  BOOTSTRAP_CLUSTER_ROLE_BINDINGS,
  BOOTSTRAP_CLUSTER_ROLES,
  BOOTSTRAP_ROLE_BINDINGS,
  BOOTSTRAP_ROLES,
} from './bootstrap-policy.ts';
import { breakdownRule, compileRule, type PolicyRule, ruleAllows, subjectKey, userKeys } from './rule-resolver.ts';

/*
 * The other way round than test/e2e/roles.test.ts: every component asks for everything that any component is allowed, and is refused what
 * its own roles do not say.
 */

let server: SecuredServer;
beforeAll(async () => {
  server = await createSecuredServer();
});
afterAll(() => server.stop());

const serviceAccount = (name: string): UserInfo => ({
  name: `system:serviceaccount:kube-system:${name}`,
  groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
});
const SUBJECTS = [...BOOTSTRAP_CLUSTER_ROLE_BINDINGS, ...BOOTSTRAP_ROLE_BINDINGS].flatMap(({ subjects }) => subjects);
const namesOf = (kind: string) => [...new Set(SUBJECTS.filter((one) => one.kind === kind).map(({ name }) => name))];

/** All that any binding of the system names; groups by a member that is in nothing else. */
const COMPONENTS: readonly UserInfo[] = [
  ...namesOf('ServiceAccount').map(serviceAccount),
  ...namesOf('User').map((name) => ({ name, groups: ['system:authenticated'] })),
  ...namesOf('Group')
    .filter((group) => group !== 'system:masters')
    .map((group) => ({ name: `a member of ${group}`, groups: [group, 'system:authenticated'] })),
];

const NAMESPACES = ['kube-system', 'kube-public', 'default'];

/** The questions behind these rules: a star is asked for as something that only a star can mean. */
function* questionsOf(rule: PolicyRule): Generator<Omit<AuthorizationAttributes, 'user'>> {
  const plain = (text: string) => text.replaceAll('*', 'anything');
  for (const { verbs, nonResourceURLs, apiGroups, resources, resourceNames } of breakdownRule(rule)) {
    const about = { verb: plain(verbs[0]!), version: 'v1', path: '', group: '', resource: '', subresource: '' };
    if (nonResourceURLs !== undefined) {
      yield { ...about, isResourceRequest: false, path: plain(nonResourceURLs[0]!), namespace: '', name: '' };
      continue;
    }
    const [resource = '', subresource = ''] = plain(resources![0]!).split('/');
    const asked = { ...about, isResourceRequest: true, group: plain(apiGroups![0]!), resource, subresource };
    for (const namespace of NAMESPACES) {
      yield { ...asked, namespace, name: 'some' };
      if (resourceNames !== undefined) yield { ...asked, namespace, name: resourceNames[0]! };
    }
  }
}

const ALL_QUESTIONS = [...BOOTSTRAP_CLUSTER_ROLES, ...BOOTSTRAP_ROLES]
  .filter(({ name }) => name !== 'cluster-admin')
  .flatMap(({ rules }) => rules.flatMap((rule) => [...questionsOf(rule)]));

interface Grant {
  readonly namespace: string;
  readonly rules: readonly ReturnType<typeof compileRule>[];
}

function grantsOf(user: UserInfo): readonly Grant[] {
  const keys = new Set(userKeys(user));
  const holds = (subjects: typeof SUBJECTS, namespace: string) =>
    subjects.some((subject) => keys.has(subjectKey(subject, namespace) ?? ''));
  const rulesOf = (role: string) => BOOTSTRAP_CLUSTER_ROLES.find(({ name }) => name === role)!.rules;
  return [
    ...BOOTSTRAP_CLUSTER_ROLE_BINDINGS.filter(({ subjects }) => holds([...subjects], '')).map(({ role }) => ({
      namespace: '',
      rules: rulesOf(role).map(compileRule),
    })),
    ...BOOTSTRAP_ROLE_BINDINGS.filter(({ subjects, namespace }) => holds([...subjects], namespace)).map(
      ({ role, namespace }) => ({
        namespace,
        rules: BOOTSTRAP_ROLES.find((one) => one.name === role && one.namespace === namespace)!.rules.map(compileRule),
      }),
    ),
  ];
}

const isAllowed = (attributes: AuthorizationAttributes): boolean =>
  server.security.authorizer.authorize(attributes).decision === 'allow';

const render = ({ verb, group, resource, subresource, path, namespace, name }: AuthorizationAttributes) =>
  [verb, path || `${group}/${resource}/${subresource}`, namespace, name].join(' ');

describe('a component, asking for what any of them may do, is allowed what its own roles say and nothing else', () => {
  it.each(COMPONENTS.map((user) => [user.name, user] as const))('%s', (_, user) => {
    const grants = grantsOf(user);
    const wrong = ALL_QUESTIONS.map((question) => ({ ...question, user })).filter((question) => {
      const expected = grants.some(
        ({ namespace, rules }) =>
          (namespace === '' || namespace === question.namespace) && rules.some((rule) => ruleAllows(rule, question)),
      );
      return isAllowed(question) !== expected;
    });
    expect(wrong.map(render)).toEqual([]);
  });
});

const READERS_OF_ALL = ['generic-garbage-collector', 'namespace-controller'];
/** What is worth stealing, and every component that has it. A name joins a line here on purpose or not at all. */
const PRECIOUS: readonly (readonly [verb: string, group: string, resource: string, who: readonly string[]])[] = [
  ['get', '', 'secrets', [...READERS_OF_ALL, 'bootstrap-signer', 'token-cleaner', 'system:kube-controller-manager']],
  ['create', '', 'serviceaccounts/token', ['system:kube-controller-manager']],
  ['create', '', 'pods/exec', []],
  ['create', '', 'pods/ephemeralcontainers', []],
  ['get', '', 'nodes/proxy', [...READERS_OF_ALL, 'kube-apiserver-kubelet-client']],
  ['impersonate', '', 'users', []],
  ['impersonate', '', 'serviceaccounts', []],
  ['create', 'rbac.authorization.k8s.io', 'clusterrolebindings', []],
  ['bind', 'rbac.authorization.k8s.io', 'clusterroles', []],
  ['escalate', 'rbac.authorization.k8s.io', 'clusterroles', ['clusterrole-aggregation-controller']],
  ['update', 'rbac.authorization.k8s.io', 'clusterroles', [READERS_OF_ALL[0]!, 'clusterrole-aggregation-controller']],
  ['sign', 'certificates.k8s.io', 'signers', ['certificate-controller']],
  ['approve', 'certificates.k8s.io', 'signers', ['certificate-controller']],
  ['create', '', 'pods/binding', ['daemon-set-controller', 'system:kube-scheduler']],
  ['create', 'admissionregistration.k8s.io', 'validatingwebhookconfigurations', []],
  ['create', 'apiregistration.k8s.io', 'apiservices', []],
];

it.each(PRECIOUS)('nobody but who must may %s %s %s', (verb, group, what, who) => {
  const [resource = '', subresource = ''] = what.split('/');
  const name = resource === 'signers' ? 'kubernetes.io/kube-apiserver-client-kubelet' : 'some';
  const about = { verb, group, resource, subresource, name, namespace: 'kube-system', version: 'v1', path: '' };
  const able = COMPONENTS.filter((user) => isAllowed({ ...about, user, isResourceRequest: true }));
  expect(able.map((user) => user.name.replace('system:serviceaccount:kube-system:', '')).sort()).toEqual(
    [...who].sort(),
  );
});
