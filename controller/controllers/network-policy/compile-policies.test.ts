import { describe, expect, it } from 'vitest';
import { CLUSTER_DNS_PEER } from '#api/network/node-policy.ts';
import type { Namespace, Pod } from '#api/object/kinds.ts';
import { compilePolicies, type NetworkPolicy } from './compile-policies.ts';

const meta = (name: string, namespace: string, labels: object = {}) => ({
  name,
  namespace,
  labels,
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});

const pod = (
  name: string,
  ip: string,
  extra: { labels?: object; node?: string; namespace?: string; port?: number; host?: boolean } = {},
): Pod =>
  ({
    metadata: meta(name, extra.namespace ?? 'a', { app: name, ...extra.labels }),
    spec: {
      nodeName: extra.node ?? 'n1',
      hostNetwork: extra.host ?? false,
      containers: [{ name: 'c', ports: extra.port === undefined ? [] : [{ name: 'http', containerPort: extra.port }] }],
    },
    status: { phase: 'Running', podIPs: [{ ip }] },
  }) as unknown as Pod;

const PODS = [
  pod('web', '10.0.0.1', { port: 8080 }),
  pod('db', '10.0.0.2', { node: 'n2' }),
  pod('web2', '10.0.0.3', { port: 9090, labels: { app: 'web' } }),
  pod('other', '10.0.1.1', { namespace: 'b' }),
  pod('host', '192.0.2.1', { host: true }),
];
const NAMESPACES = ['a', 'b', 'kube-system'].map(
  (name) => ({ metadata: { ...meta(name, ''), labels: { team: name } } }) as unknown as Namespace,
);

const policy = (spec: object, name = 'p'): NetworkPolicy =>
  ({ metadata: meta(name, 'a'), spec }) as unknown as NetworkPolicy;
const compile = (...policies: NetworkPolicy[]) => compilePolicies({ policies, pods: PODS, namespaces: NAMESPACES });
const web = { podSelector: { matchLabels: { app: 'web' } } };
const sets = (compiled: ReturnType<typeof compile>, node = 'n1') => Object.values(compiled.get(node)!.sets);

describe('compiled network policies', () => {
  it('without policies there is nothing to say', () => {
    expect(compile().size).toBe(0);
  });

  it('reach only nodes with pods that they select, and no pods on the network of a host', () => {
    const compiled = compile(policy({ podSelector: {}, policyTypes: ['Ingress'] }));
    expect([...compiled.keys()].sort()).toEqual(['n1', 'n2']);
    expect(compiled.get('n1')!.groups).toEqual([{ pods: ['10.0.0.1', '10.0.0.3'], ingress: [] }]);
  });

  it.each([
    { name: 'pods of the own namespace', from: { podSelector: {} }, want: [['10.0.0.1', '10.0.0.2', '10.0.0.3']] },
    { name: 'some pods', from: { podSelector: { matchLabels: { app: 'db' } } }, want: [['10.0.0.2']] },
    { name: 'a whole namespace', from: { namespaceSelector: { matchLabels: { team: 'b' } } }, want: [['10.0.1.1']] },
    {
      name: 'some pods of some namespaces',
      from: {
        namespaceSelector: {},
        podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['db', 'other'] }] },
      },
      want: [['10.0.0.2', '10.0.1.1']],
    },
    { name: 'a namespace that nobody is in', from: { namespaceSelector: { matchLabels: { team: 'z' } } }, want: [[]] },
  ])('$name', ({ from, want }) => {
    expect(sets(compile(policy({ ...web, policyTypes: ['Ingress'], ingress: [{ from: [from] }] })))).toEqual(want);
  });

  it('blocks, ports and ranges stay as they are', () => {
    const rule = {
      from: [{ ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.9/32'] } }],
      ports: [
        { port: 80, endPort: 90 },
        { protocol: 'UDP', port: 53 },
      ],
    };
    expect(
      compile(policy({ ...web, policyTypes: ['Ingress'], ingress: [rule] })).get('n1')!.groups[0]!.ingress,
    ).toEqual([
      {
        sets: [],
        blocks: [{ cidr: '192.0.2.0/24', except: ['192.0.2.9/32'] }],
        ports: [
          { protocol: 'TCP', port: 80, endPort: 90 },
          { protocol: 'UDP', port: 53 },
        ],
      },
    ]);
  });

  it('a named port is the number that each pod has behind it; pods that differ are apart', () => {
    const { groups } = compile(
      policy({ ...web, policyTypes: ['Ingress'], ingress: [{ ports: [{ port: 'http' }] }] }),
    ).get('n1')!;
    expect(groups.map(({ pods, ingress }) => [pods, ingress![0]!.ports])).toEqual([
      [['10.0.0.1'], [{ protocol: 'TCP', port: 8080 }]],
      [['10.0.0.3'], [{ protocol: 'TCP', port: 9090 }]],
    ]);
  });

  it('a named port of egress is looked for on the pods that are reached', () => {
    const compiled = compile(
      policy({ ...web, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }], ports: [{ port: 'http' }] }] }),
    );
    const { groups, sets: named } = compiled.get('n1')!;
    expect(groups[0]!.egress!.map((rule) => [named[rule.sets?.[0] ?? ''], rule.ports?.[0]?.port])).toEqual([
      [['10.0.0.1'], 8080],
      [['10.0.0.3'], 9090],
    ]);
  });

  it('policies add up, each in its own direction', () => {
    const compiled = compile(
      policy({ ...web, policyTypes: ['Ingress'], ingress: [{}] }, 'in'),
      policy({ ...web, policyTypes: ['Egress'], egress: [] }, 'out'),
    );
    expect(compiled.get('n1')!.groups).toEqual([{ pods: ['10.0.0.1', '10.0.0.3'], ingress: [{}], egress: [] }]);
  });

  it('the cluster DNS is a pod of kube-system labelled k8s-app: kube-dns', () => {
    const to = {
      namespaceSelector: { matchLabels: { team: 'kube-system' } },
      podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    };
    expect(sets(compile(policy({ ...web, policyTypes: ['Egress'], egress: [{ to: [to] }] })))).toEqual([
      [CLUSTER_DNS_PEER],
    ]);
  });
});
