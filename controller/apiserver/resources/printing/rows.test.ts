import { expect, test } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { certificateSigningRequests } from '../certificatesigningrequests.ts';
import { clusterRoleBindings } from '../clusterrolebindings.ts';
import { controllerRevisions } from '../controllerrevisions.ts';
import { deployments } from '../deployments.ts';
import { endpoints } from '../endpoints.ts';
import { endpointSlices } from '../endpointslices.ts';
import { events } from '../events.ts';
import { ingresses } from '../ingresses.ts';
import { ipAddresses } from '../ipaddresses.ts';
import { networkPolicies } from '../networkpolicies.ts';
import { nodes } from '../nodes.ts';
import { podDisruptionBudgets } from '../poddisruptionbudgets.ts';
import { replicaSets } from '../replicasets.ts';
import { resourceQuotas } from '../resourcequotas.ts';
import { roles } from '../roles.ts';
import { serviceRow } from '../service/printer.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const CREATED = '2026-01-01T00:00:00Z';

const object = (fields: object, metadata: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'X',
  metadata: { name: 'x', creationTimestamp: CREATED, ...metadata },
  ...fields,
});

const serviceCells = (spec: object, status: object = {}) =>
  serviceRow(object({ spec, status }) as unknown as Parameters<typeof serviceRow>[0], NOW);

test.each<[name: string, spec: object, status: object, cells: string[]]>([
  [
    'ClusterIP',
    {
      type: 'ClusterIP',
      clusterIPs: ['10.96.0.5'],
      ports: [{ port: 80, protocol: 'TCP' }],
      selector: { b: '2', a: '1' },
    },
    {},
    ['ClusterIP', '10.96.0.5', '<none>', '80/TCP', '60m', 'a=1,b=2'],
  ],
  [
    'NodePort',
    {
      type: 'NodePort',
      clusterIPs: ['10.96.0.5'],
      ports: [
        { port: 80, nodePort: 30080, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
    },
    {},
    ['NodePort', '10.96.0.5', '<none>', '80:30080/TCP,53/UDP', '60m', '<none>'],
  ],
  [
    'LoadBalancer that waits',
    { type: 'LoadBalancer', clusterIPs: ['10.96.0.5'] },
    {},
    ['LoadBalancer', '10.96.0.5', '<pending>', '<none>', '60m', '<none>'],
  ],
  [
    'LoadBalancer',
    { type: 'LoadBalancer', clusterIPs: ['10.96.0.5'], externalIPs: ['3.3.3.3'] },
    { loadBalancer: { ingress: [{ ip: '2.2.2.2' }, { hostname: 'a.example' }] } },
    ['LoadBalancer', '10.96.0.5', '2.2.2.2,a.example,3.3.3.3', '<none>', '60m', '<none>'],
  ],
  [
    'ExternalName',
    { type: 'ExternalName', externalName: 'example.com' },
    {},
    ['ExternalName', '<none>', 'example.com', '<none>', '60m', '<none>'],
  ],
  [
    'headless',
    { type: 'ClusterIP', clusterIP: 'None', clusterIPs: ['None'] },
    {},
    ['ClusterIP', 'None', '<none>', '<none>', '60m', '<none>'],
  ],
])('a %s Service', (_name, spec, status, cells) => {
  expect(serviceCells(spec, status).slice(1)).toEqual(cells);
});

const ready = (status: string) => ({ conditions: [{ type: 'Ready', status }] });

test.each<[name: string, node: KubeObject, status: string, nodeRoles: string]>([
  ['ready', object({ status: ready('True') }), 'Ready', '<none>'],
  ['that is lost', object({ status: ready('Unknown') }), 'NotReady', '<none>'],
  ['that never reported', object({}), 'Unknown', '<none>'],
  ['cordoned', object({ spec: { unschedulable: true }, status: ready('True') }), 'Ready,SchedulingDisabled', '<none>'],
  [
    'with roles',
    object(
      { status: ready('True') },
      {
        labels: {
          'node-role.kubernetes.io/worker': '',
          'node-role.kubernetes.io/control-plane': '',
          'kubernetes.io/role': 'edge',
        },
      },
    ),
    'Ready',
    'control-plane,edge,worker',
  ],
])('a node %s', (_name, node, status, nodeRoles) => {
  expect(nodes([]).tableRow(node, NOW).slice(1, 4)).toEqual([status, nodeRoles, '60m']);
});

const address = (ip: string) => ({ ip });
const slice = (fields: object) => object({ addressType: 'IPv4', endpoints: [], ...fields });

test.each<[name: string, definition: ResourceDefinition, row: KubeObject, cells: unknown[]]>([
  ['Endpoints of nothing', endpoints, object({}), ['<none>', '60m']],
  [
    'Endpoints of four',
    endpoints,
    object({
      subsets: [{ addresses: ['10.0.0.1', '10.0.0.2'].map(address), ports: [{ port: 80 }, { port: 81 }] }],
    }),
    ['10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...', '60m'],
  ],
  [
    'Endpoints without ports',
    endpoints,
    object({ subsets: [{ addresses: [address('fd00::1')] }] }),
    ['fd00::1', '60m'],
  ],
  ['an empty slice', endpointSlices, slice({}), ['IPv4', '<unset>', '<unset>', '60m']],
  [
    'a slice',
    endpointSlices,
    slice({
      ports: [{ name: 'web', port: 80 }, { name: '' }],
      endpoints: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map((ip) => ({ addresses: [ip] })),
    }),
    ['IPv4', '80,*', '10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...', '60m'],
  ],
  [
    'a Deployment',
    deployments,
    object({
      spec: {
        replicas: 3,
        selector: { matchExpressions: [{ key: 'b', operator: 'In', values: ['2', '1'] }], matchLabels: { a: 'x' } },
        template: {
          spec: {
            containers: [
              { name: 'c', image: 'i:1' },
              { name: 'd', image: 'j:2' },
            ],
          },
        },
      },
      status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 },
    }),
    ['2/3', 3, 1, '60m', 'c,d', 'i:1,j:2', 'a=x,b in (1,2)'],
  ],
  [
    'a ReplicaSet',
    replicaSets,
    object({ spec: { replicas: 3 }, status: { replicas: 2, readyReplicas: 1 } }),
    [3, 2, 1, '60m', '', '', '<none>'],
  ],
  [
    'an address',
    ipAddresses,
    object({ spec: { parentRef: { resource: 'services', namespace: 'default', name: 'kubernetes' } } }),
    ['services/default/kubernetes'],
  ],
  [
    'a binding',
    clusterRoleBindings,
    object({
      roleRef: { kind: 'ClusterRole', name: 'view' },
      subjects: [
        { kind: 'User', name: 'u' },
        { kind: 'User', name: 'v' },
        { kind: 'Group', name: 'g' },
        { kind: 'ServiceAccount', namespace: 'a', name: 's' },
      ],
    }),
    ['ClusterRole/view', '60m', 'u, v', 'g', 'a/s'],
  ],
  ['a Role, which has no printer', roles, object({}), [CREATED]],
  [
    'a revision',
    controllerRevisions,
    object(
      { revision: 2 },
      { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', controller: true }] },
    ),
    ['statefulset.apps/web', 2, '60m'],
  ],
  [
    'an issued request',
    certificateSigningRequests,
    object({
      spec: { signerName: 's', username: 'u', expirationSeconds: 86_400 },
      status: { certificate: 'x', conditions: [{ type: 'Approved' }] },
    }),
    ['60m', 's', 'u', '24h', 'Approved,Issued'],
  ],
  [
    'an open request',
    certificateSigningRequests,
    object({ spec: { signerName: 's' } }),
    ['60m', 's', '', '<none>', 'Pending'],
  ],
  ['a policy for all pods', networkPolicies, object({ spec: { podSelector: {} } }), ['<none>', '60m']],
  [
    'a budget',
    podDisruptionBudgets,
    object({ spec: { minAvailable: 1 }, status: { disruptionsAllowed: 2 } }),
    ['1', 'N/A', 2, '60m'],
  ],
  [
    'a quota',
    resourceQuotas,
    object({ status: { hard: { pods: '10', 'limits.cpu': '4', cpu: '2' }, used: { pods: '3', cpu: '1' } } }),
    ['cpu: 1/2, pods: 3/10', 'limits.cpu: 0/4', '60m'],
  ],
  [
    'an Ingress',
    ingresses,
    object({
      spec: { ingressClassName: 'c', rules: [{ host: 'a' }, { host: 'b' }], tls: [{}] },
      status: { loadBalancer: { ingress: [{ ip: '1.1.1.1' }] } },
    }),
    ['c', 'a,b', '1.1.1.1', '80, 443', '60m'],
  ],
])('%s', (_name, definition, row, cells) => {
  expect(definition.tableRow(row, NOW).slice(1)).toEqual(cells);
});

test.each<[name: string, fields: object, last: string, first: string, count: number]>([
  [
    'counted',
    { firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:59:00Z', count: 7 },
    '60s',
    '60m',
    7,
  ],
  ['single', { eventTime: '2026-01-01T00:58:00.000000Z' }, '2m', '2m', 1],
  [
    'in a series',
    { eventTime: '2026-01-01T00:00:00.000000Z', series: { count: 5, lastObservedTime: '2026-01-01T00:59:30.000000Z' } },
    '30s',
    '60m',
    5,
  ],
])('an event that is %s', (_name, fields, last, first, count) => {
  const row = events.tableRow(object({ involvedObject: { kind: 'Node' }, ...fields }), NOW);
  expect([row[0], row[3], row[7], row[8]]).toEqual([last, 'node', first, count]);
});
