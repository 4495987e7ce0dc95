import { readFile } from 'node:fs/promises';
import {
  BOOTSTRAP_CLUSTER_ROLE_BINDINGS,
  BOOTSTRAP_CLUSTER_ROLES,
  BOOTSTRAP_ROLE_BINDINGS,
  BOOTSTRAP_ROLES,
} from '#controller/apiserver/authorize/bootstrap-policy.ts';
import { allow } from '#controller/apiserver/authorize/bootstrap-rules.ts';
import { nodeNameOf } from '#controller/apiserver/authorize/node-identity.ts';
import { SYSTEM_NODE_RULES } from '#controller/apiserver/authorize/node-rules.ts';
import type { RecordedDecision } from '#controller/apiserver/authorize/recording-authorizer.ts';
import {
  breakdownRule,
  compileRule,
  type PolicyRule,
  ruleAllows,
  subjectKey,
  userKeys,
} from '#controller/apiserver/authorize/rule-resolver.ts';

/** A role, where it holds ('' = everywhere), and its rules. */
interface Grant {
  readonly role: string;
  readonly namespace: string;
  readonly rules: readonly PolicyRule[];
}

/** What `--authorization-log` wrote; a line that is still being written is left out. */
export async function readDecisions(path: string): Promise<RecordedDecision[]> {
  const text = await readFile(path, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RecordedDecision);
}

/**
 * Roles that the system's own bindings give to this user, but for those that everybody holds. To nodes the Node authorizer gives the
 * role `system:node`, cut down to what is theirs, and the way to themselves.
 */
function grantsOf(user: { readonly name: string; readonly groups: readonly string[] }): Grant[] {
  const keys = new Set(userKeys(user));
  keys.delete('g:system:authenticated');
  keys.delete('g:system:unauthenticated');
  keys.delete('g:system:serviceaccounts');
  const isBound = ({ subjects }: (typeof BOOTSTRAP_CLUSTER_ROLE_BINDINGS)[number], namespace: string) =>
    subjects.some((subject) => keys.has(subjectKey(subject, namespace) ?? ''));
  const node =
    nodeNameOf(user) === undefined
      ? []
      : [{ role: 'system:node', namespace: '', rules: [...SYSTEM_NODE_RULES, allow('get', 'core', 'nodes/tunnel')] }];
  const rulesOf = (role: string) => BOOTSTRAP_CLUSTER_ROLES.find(({ name }) => name === role)!.rules;
  return [
    ...node,
    ...BOOTSTRAP_CLUSTER_ROLE_BINDINGS.filter((binding) => isBound(binding, '')).map(({ role }) => ({
      role,
      namespace: '',
      rules: rulesOf(role),
    })),
    ...BOOTSTRAP_ROLE_BINDINGS.filter((binding) => isBound(binding, binding.namespace)).map(({ role, namespace }) => ({
      role,
      namespace,
      rules: BOOTSTRAP_ROLES.find((one) => one.name === role && one.namespace === namespace)!.rules,
    })),
  ];
}

/** `get pods/log`, `update leases.coordination.k8s.io kube-scheduler`, `get /metrics`. */
function renderRight({ verbs, apiGroups, resources, resourceNames, nonResourceURLs }: PolicyRule): string {
  if (nonResourceURLs !== undefined) return `${verbs[0]} ${nonResourceURLs[0]}`;
  const group = apiGroups?.[0] ? `.${apiGroups[0]}` : '';
  const name = resourceNames === undefined ? '' : ` ${resourceNames[0]}`;
  return `${verbs[0]} ${resources?.[0]}${group}${name}`;
}

const listRights = (rules: readonly PolicyRule[]): string[] =>
  rules.flatMap((rule) => [...breakdownRule(rule)].map(renderRight));

/** Rights of these rules that none of these requests needed. */
function findUnusedRights({ rules, namespace }: Grant, decisions: readonly RecordedDecision[]): string[] {
  const asked = decisions
    .filter((decision) => namespace === '' || decision.namespace === namespace)
    .map((decision) => ({
      ...decision,
      user: { name: decision.user, groups: decision.groups },
      isResourceRequest: decision.path === '',
      version: '',
    }));
  const unused = rules
    .flatMap((rule) => [...breakdownRule(rule)])
    // A group that no server serves any more, which Kubernetes keeps in its roles.
    .filter(({ apiGroups }) => apiGroups?.[0] !== 'extensions')
    .filter((right) => {
      const rule = compileRule(right);
      return !asked.some((attributes) => ruleAllows(rule, attributes));
    });
  return [...new Set(unused.map(renderRight))].sort();
}

/** Rights that a role holds though no request is seen to need them, with the reason why they stay. */
export interface UnusedRights {
  readonly why: string;
  readonly rules: readonly PolicyRule[];
  /** Timing decides whether a run uses them. All others must be unused: one that is used leaves the list. */
  readonly sometimes?: true;
}

/**
 * Where the roles behind these requests and the list of their unused rights disagree, in words: rights that are neither used nor listed,
 * listed ones that are used or not held at all, and listed roles that nobody acts under.
 */
export function compareRights(
  decisions: readonly RecordedDecision[],
  list: Readonly<Record<string, readonly UnusedRights[]>>,
): string[] {
  const byRole = new Map<string, { grant: Grant; decisions: RecordedDecision[] }>();
  for (const decision of decisions) {
    for (const grant of grantsOf({ name: decision.user, groups: decision.groups })) {
      const seen = byRole.get(grant.role) ?? { grant, decisions: [] };
      seen.decisions.push(decision);
      byRole.set(grant.role, seen);
    }
  }
  const strangers = Object.keys(list).filter((role) => !byRole.has(role));
  return [
    ...strangers.map((role) => `${role}: listed, but nobody acts under it`),
    ...[...byRole].flatMap(([role, seen]) => {
      const unused = findUnusedRights(seen.grant, seen.decisions);
      const held = new Set(listRights(seen.grant.rules));
      const excused = new Set((list[role] ?? []).flatMap(({ rules }) => listRights(rules)));
      const certain = (list[role] ?? [])
        .filter(({ sometimes }) => !sometimes)
        .flatMap(({ rules }) => listRights(rules));
      return [
        ...unused.filter((right) => !excused.has(right)).map((right) => `${role}: unused: ${right}`),
        ...[...excused].filter((right) => !held.has(right)).map((right) => `${role}: listed, but not held: ${right}`),
        ...certain
          .filter((right) => held.has(right) && !unused.includes(right))
          .map((right) => `${role}: listed as unused, but used: ${right}`),
      ];
    }),
  ];
}
