import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type ClusterRole, resources } from '#api/object/kinds.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { ensureBootstrapPolicy } from './ensure-bootstrap-policy.ts';

/*
 * What a new cluster grants, against the facts of what Kubernetes grants, right by right: a verb on a resource of a group under a name.
 */

const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-';
const MARKS = ['kubernetes.io/bootstrapping=rbac-defaults', 'rbac.authorization.kubernetes.io/autoupdate=true'];

/** `kind namespace/name` -> everything that it says, each a word or a few. */
type Policy = Map<string, Set<string>>;

/** A list of `from`, also where the field is left out. */
const listOr = (values: readonly string[] | undefined, otherwise: string): readonly string[] =>
  values === undefined || values.length === 0 ? [otherwise] : values;

interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

function* rightsOf(rule: Rule): Generator<string> {
  for (const verb of rule.verbs) {
    for (const path of rule.nonResourceURLs ?? []) yield `${verb} ${path}`;
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        for (const name of listOr(rule.resourceNames, ''))
          yield `${verb} ${resource}${group === '' ? '' : `.${group}`}${name && ` ${name}`}`;
      }
    }
  }
}

const words = (text = ''): string[] => text.split(' ').filter((word) => word !== '');

function readFacts(): Policy {
  const policy: Policy = new Map();
  const text = readFileSync(join(import.meta.dirname, 'kubernetes-bootstrap-policy.tsv'), 'utf8');
  const say = (kind: string, object: string, facts: Iterable<string>) => {
    const key = `${object.includes('/') ? kind : `Cluster${kind}`} ${object}`;
    const said = policy.get(key) ?? new Set(MARKS);
    policy.set(key, said);
    for (const fact of facts) said.add(fact);
  };
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [what, object = '', ...cells] = line.split('\t');
    const [first = '', second = '', third = '', names = ''] = cells;
    if (what === 'rule') {
      const apiGroups = words(second).map((group) => (group === 'core' ? '' : group));
      say(
        'Role',
        object,
        rightsOf({ verbs: words(first), apiGroups, resources: words(third), resourceNames: words(names) }),
      );
    } else if (what === 'urls') say('Role', object, rightsOf({ verbs: words(first), nonResourceURLs: words(second) }));
    else if (what === 'aggregates') say('Role', object, [`collects ${AGGREGATE}${first}=true`]);
    else if (what === 'aggregate-to') say('Role', object, [`${AGGREGATE}${first}=true`]);
    else if (what === 'binding')
      say('RoleBinding', object, [`gives ${first}`, ...words(second).map((who) => `to ${who}`)]);
    else throw new Error(`unknown fact: ${line}`);
  }
  return policy;
}

interface Bound {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

/** The objects as the API server would store them, read back. */
async function readOurs(): Promise<Policy> {
  const client = new MemoryCluster().client();
  await ensureBootstrapPolicy(client);
  const policy: Policy = new Map();
  for (const info of [resources.clusterRoles, resources.clusterRoleBindings, resources.roles, resources.roleBindings]) {
    for (const item of (await client.resource(info).fetchList()).items) {
      const { name, namespace, labels = {}, annotations = {} } = item.metadata;
      const said = new Set(Object.entries({ ...labels, ...annotations }).map(([key, value]) => `${key}=${value}`));
      const { aggregationRule, rules } = item as ClusterRole;
      for (const { matchLabels = {} } of aggregationRule?.clusterRoleSelectors ?? []) {
        for (const [key, value] of Object.entries(matchLabels)) said.add(`collects ${key}=${value}`);
      }
      // What an aggregated role holds follows from the labels of the others.
      for (const rule of aggregationRule === undefined ? (rules ?? []) : []) {
        for (const right of rightsOf(rule)) said.add(right);
      }
      const { roleRef, subjects = [] } = item as unknown as Bound;
      if (roleRef !== undefined) said.add(`gives ${roleRef.name}`);
      for (const { kind, namespace: of, name: who } of subjects)
        said.add(`to ${kind}:${of === undefined ? '' : `${of}/`}${who}`);
      policy.set(`${info.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`, said);
    }
  }
  return policy;
}

/** Empty when the same. */
function compare(theirs: Policy, ours: Policy): string[] {
  const missing = [...theirs.keys()].filter((key) => !ours.has(key)).map((key) => `missing: ${key}`);
  const own = [...ours.keys()].filter((key) => !theirs.has(key)).map((key) => `ours alone: ${key}`);
  const different = [...theirs].flatMap(([key, facts]) => {
    const said = ours.get(key);
    if (said === undefined) return [];
    return [
      ...[...facts].filter((fact) => !said.has(fact)).map((fact) => `${key} lacks: ${fact}`),
      ...[...said].filter((fact) => !facts.has(fact)).map((fact) => `${key} adds: ${fact}`),
    ];
  });
  return [...missing, ...own, ...different].sort();
}

const CONTROLLERS = 'ClusterRole system:controller:certificate-controller adds:';
const SIGNERS = 'signers.certificates.k8s.io';

/** All that a cluster of ours grants otherwise, by reason. */
const INTENDED: Readonly<Record<string, readonly string[]>> = {
  'one controller approves what kubeadm leaves to others: serving certificates of nodes, and the renewal of components':
    [
      `${CONTROLLERS} approve ${SIGNERS} kubernetes.io/kubelet-serving`,
      `${CONTROLLERS} approve ${SIGNERS} kubernetes.io/kube-apiserver-client`,
      'ours alone: ClusterRole coracle:component-renewal',
      'ours alone: ClusterRoleBinding coracle:component-renewal',
    ],
  'the network part of an agent has an identity of its own, narrower than system:node-proxier': [
    `${CONTROLLERS} approve ${SIGNERS} coracle.dev/netd`,
    `${CONTROLLERS} sign ${SIGNERS} coracle.dev/netd`,
    'ours alone: ClusterRole coracle:netd',
    'ours alone: ClusterRoleBinding coracle:netd',
    'ours alone: RoleBinding kube-system/coracle:netd:extension-apiserver-authentication-reader',
  ],
  'nodes join and renew by themselves, which kubeadm binds under names of its own': [
    'ours alone: ClusterRoleBinding coracle:agent-approve-bootstrap',
    'ours alone: ClusterRoleBinding coracle:agent-approve-renewal',
    'ours alone: ClusterRoleBinding coracle:agent-bootstrap',
  ],
  'the API server calls node APIs under a name that may do that and nothing else; kubeadm gives it a group of administrators':
    ['ours alone: ClusterRoleBinding coracle:apiserver-kubelet-client'],
  'a node that was away past its certificate comes back for its old key': [
    'ours alone: ClusterRoleBinding coracle:lapsed-node',
    'ours alone: ClusterRoleBinding coracle:lapsed-node-approve-renewal',
  ],
  'what nodes and pods use is served without a metrics-server, which brings this role': [
    'ours alone: ClusterRole system:aggregated-metrics-reader',
  ],
  'policies are compiled for the nodes, so that no node reads the pods of others': [
    'ours alone: ClusterRole system:controller:network-policy-controller',
    'ours alone: ClusterRoleBinding system:controller:network-policy-controller',
  ],
  'Kubernetes evicts as the node controller; a role of its own can be smaller': [
    'ours alone: ClusterRole system:controller:taint-eviction-controller',
    'ours alone: ClusterRoleBinding system:controller:taint-eviction-controller',
  ],
};

it('the bootstrap policy is that of Kubernetes, but for the listed differences', async () => {
  expect(compare(readFacts(), await readOurs())).toEqual(Object.values(INTENDED).flat().sort());
});

it('a comparison tells of every kind of difference', () => {
  const theirs = new Map([
    ['ClusterRole a', new Set(['get pods', 'x=y'])],
    ['ClusterRole b', new Set<string>()],
  ]);
  const ours = new Map([
    ['ClusterRole a', new Set(['list pods', 'x=y'])],
    ['ClusterRole c', new Set<string>()],
  ]);
  expect(compare(theirs, ours)).toEqual([
    'ClusterRole a adds: list pods',
    'ClusterRole a lacks: get pods',
    'missing: ClusterRole b',
    'ours alone: ClusterRole c',
  ]);
});
