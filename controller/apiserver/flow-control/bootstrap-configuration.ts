import { MANDATORY_FLOW_SCHEMAS, MANDATORY_PRIORITY_LEVELS } from '../resources/flow-control/mandatory.ts';
import type { FlowSchemaSpec, PriorityLevelSpec } from './configuration.ts';

/**
 * The configuration that a cluster starts with: Kubernetes' own values. Administrators may change the suggested objects (and take them
 * out of our hands with `apf.kubernetes.io/autoupdate-spec: "false"`); the mandatory ones are put back.
 */

const ANY = ['*'];
const LEASE_VERBS = ['get', 'create', 'update'];
const NODES = 'system:nodes';
const EVERYBODY = ['system:unauthenticated', 'system:authenticated'];

interface QueuedLevel {
  readonly shares: number;
  readonly lendablePercent: number;
  readonly queues: number;
  readonly handSize: number;
}

const queued = ({ shares, lendablePercent, queues, handSize }: QueuedLevel): PriorityLevelSpec => ({
  type: 'Limited',
  limited: {
    nominalConcurrencyShares: shares,
    lendablePercent,
    limitResponse: { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: 50 } },
  },
});

/** spec by name of PriorityLevelConfiguration. */
export const SUGGESTED_PRIORITY_LEVELS: Readonly<Record<string, PriorityLevelSpec>> = {
  system: queued({ shares: 30, lendablePercent: 33, queues: 64, handSize: 6 }),
  'node-high': queued({ shares: 40, lendablePercent: 25, queues: 64, handSize: 6 }),
  'leader-election': queued({ shares: 10, lendablePercent: 0, queues: 16, handSize: 4 }),
  'workload-high': queued({ shares: 40, lendablePercent: 50, queues: 128, handSize: 6 }),
  'workload-low': queued({ shares: 100, lendablePercent: 90, queues: 128, handSize: 6 }),
  'global-default': queued({ shares: 20, lendablePercent: 50, queues: 128, handSize: 6 }),
};

const groups = (...names: readonly string[]) => names.map((name) => ({ kind: 'Group' as const, group: { name } }));
const users = (...names: readonly string[]) => names.map((name) => ({ kind: 'User' as const, user: { name } }));
const kubeSystemAccount = (name: string) => ({
  kind: 'ServiceAccount' as const,
  serviceAccount: { namespace: 'kube-system', name },
});

type Rule = NonNullable<FlowSchemaSpec['rules']>[number];
type Subjects = Rule['subjects'];

const everything = (subjects: Subjects): Rule => ({
  subjects,
  resourceRules: [{ verbs: ANY, apiGroups: ANY, resources: ANY, clusterScope: true, namespaces: ANY }],
  nonResourceRules: [{ verbs: ANY, nonResourceURLs: ANY }],
});

const leases = { verbs: LEASE_VERBS, apiGroups: ['coordination.k8s.io'], resources: ['leases'], namespaces: ANY };

interface SchemaFacts {
  readonly level: string;
  readonly precedence: number;
  readonly by?: 'ByUser' | 'ByNamespace';
  readonly rule: Rule;
}

const schema = ({ level, precedence, by, rule }: SchemaFacts): FlowSchemaSpec => ({
  priorityLevelConfiguration: { name: level },
  matchingPrecedence: precedence,
  ...(by === undefined ? {} : { distinguisherMethod: { type: by } }),
  rules: [rule],
});

const forController = (user: string) =>
  schema({ level: 'workload-high', precedence: 800, by: 'ByNamespace', rule: everything(users(user)) });

/** spec by name of FlowSchema. */
export const SUGGESTED_FLOW_SCHEMAS: Readonly<Record<string, FlowSchemaSpec>> = {
  probes: schema({
    level: 'exempt',
    precedence: 2,
    rule: {
      subjects: groups(...EVERYBODY),
      nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
    },
  }),
  'system-leader-election': schema({
    level: 'leader-election',
    precedence: 100,
    by: 'ByUser',
    rule: {
      subjects: [...users('system:kube-controller-manager', 'system:kube-scheduler'), kubeSystemAccount('*')],
      resourceRules: [leases],
    },
  }),
  'endpoint-controller': schema({
    level: 'workload-high',
    precedence: 150,
    by: 'ByUser',
    rule: {
      subjects: [
        ...users('system:kube-controller-manager'),
        kubeSystemAccount('endpoint-controller'),
        kubeSystemAccount('endpointslicemirroring-controller'),
      ],
      resourceRules: [{ verbs: LEASE_VERBS, apiGroups: [''], resources: ['endpoints'], namespaces: ANY }],
    },
  }),
  'workload-leader-election': schema({
    level: 'leader-election',
    precedence: 200,
    by: 'ByUser',
    rule: {
      subjects: [kubeSystemAccount('*')],
      resourceRules: [
        // Older clients still elect by annotations of these.
        { verbs: LEASE_VERBS, apiGroups: [''], resources: ['endpoints', 'configmaps'], namespaces: ANY },
        leases,
      ],
    },
  }),
  'system-node-high': schema({
    level: 'node-high',
    precedence: 400,
    by: 'ByUser',
    rule: {
      subjects: groups(NODES),
      resourceRules: [
        { verbs: ANY, apiGroups: [''], resources: ['nodes', 'nodes/status'], clusterScope: true, namespaces: ANY },
        { verbs: ANY, apiGroups: ['coordination.k8s.io'], resources: ['leases'], namespaces: ANY },
      ],
    },
  }),
  'system-nodes': schema({ level: 'system', precedence: 500, by: 'ByUser', rule: everything(groups(NODES)) }),
  // Our own: the network part of an agent has an identity beside the node's, and Services must go on working under load.
  'coracle-node-network': schema({
    level: 'system',
    precedence: 500,
    by: 'ByUser',
    rule: everything(groups('coracle:netd')),
  }),
  'kube-controller-manager': forController('system:kube-controller-manager'),
  'kube-scheduler': forController('system:kube-scheduler'),
  'kube-system-service-accounts': schema({
    level: 'workload-high',
    precedence: 900,
    by: 'ByNamespace',
    rule: everything([kubeSystemAccount('*')]),
  }),
  'service-accounts': schema({
    level: 'workload-low',
    precedence: 9000,
    by: 'ByUser',
    rule: everything(groups('system:serviceaccounts')),
  }),
  'global-default': schema({
    level: 'global-default',
    precedence: 9900,
    by: 'ByUser',
    rule: everything(groups(...EVERYBODY)),
  }),
};

export const MANDATORY_LEVELS = MANDATORY_PRIORITY_LEVELS as Readonly<Record<string, PriorityLevelSpec>>;
export const MANDATORY_SCHEMAS = MANDATORY_FLOW_SCHEMAS as Readonly<Record<string, FlowSchemaSpec>>;
