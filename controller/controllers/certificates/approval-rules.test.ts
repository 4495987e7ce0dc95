import { describe, expect, it } from 'vitest';
import type { CertificateSigningRequest, Node } from '#api/object/kinds.ts';
import { planApproval } from './approval-rules.ts';
import type { RequestedCertificate } from './certificate-signer.ts';
import { requestExpiryMs } from './cleaner.ts';

const csr = (signerName: string, username: string) =>
  ({
    metadata: { name: 'r' },
    spec: { signerName, username, groups: ['system:nodes'], request: '' },
  }) as unknown as CertificateSigningRequest;

const wish = (commonName: string, names: Partial<RequestedCertificate> = {}): RequestedCertificate => ({
  subject: { commonName, organizations: [] },
  dnsNames: [],
  addresses: [],
  emails: [],
  uris: [],
  otherSubjectAttributes: [],
  ...names,
});

const node = (name: string, address: string) =>
  ({ metadata: { name }, status: { addresses: [{ type: 'InternalIP', address }] } }) as unknown as Node;
/** With every kind of name that a Node may show. */
const NAMED = {
  metadata: { name: 'd' },
  status: {
    addresses: [
      { type: 'InternalIP', address: 'fd00::4' },
      { type: 'ExternalIP', address: '203.0.113.4' },
      { type: 'Hostname', address: 'pi-d' },
      { type: 'InternalDNS', address: 'd.lan' },
      { type: 'ExternalDNS', address: 'd.example.org' },
    ],
  },
} as unknown as Node;
const nodes = [node('a', '10.0.0.1'), node('b', '10.0.0.2'), NAMED];
const own = ['d', 'pi-d', 'd.lan', 'd.example.org'];

const CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet';
const COMPONENT = 'kubernetes.io/kube-apiserver-client';
const SERVING = 'kubernetes.io/kubelet-serving';

describe('planApproval', () => {
  it.each<[string, CertificateSigningRequest, RequestedCertificate, string]>([
    ['a node that joins', csr(CLIENT, 'system:bootstrap:x'), wish('system:node:a'), 'ask nodeclient'],
    ['a node that renews', csr(CLIENT, 'system:node:a'), wish('system:node:a'), 'ask selfnodeclient'],
    ['a node that asks for another', csr(CLIENT, 'system:node:b'), wish('system:node:a'), 'ask nodeclient'],
    ['a node named like the API server', csr(CLIENT, 'x'), wish('system:node:kubernetes.default'), 'ignore'],
    [
      'a scheduler that renews its own',
      csr(COMPONENT, 'system:kube-scheduler'),
      wish('system:kube-scheduler'),
      'approve',
    ],
    ['somebody who asks for its name', csr(COMPONENT, 'mallory'), wish('system:kube-scheduler'), 'ignore'],
    ['a user who renews', csr(COMPONENT, 'alice'), wish('alice'), 'ignore'],
    [
      'a scheduler that wants more than its name',
      csr(COMPONENT, 'system:kube-scheduler'),
      wish('system:kube-scheduler', { subject: { commonName: 'system:kube-scheduler', organizations: ['ops'] } }),
      'ignore',
    ],
    [
      'netd of the node that asks',
      csr('coracle.dev/netd', 'system:node:a'),
      wish('coracle:netd:a'),
      'ask selfnodeclient',
    ],
    ['netd of another node', csr('coracle.dev/netd', 'system:node:b'), wish('coracle:netd:a'), 'ask nodeclient'],
    ['serving its name', csr(SERVING, 'system:node:c'), wish('system:node:c', { dnsNames: ['c'] }), 'approve'],
    [
      'serving its address',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { addresses: ['10.0.0.1'] }),
      'approve',
    ],
    [
      'serving an address not shown',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { addresses: ['10.0.0.9'] }),
      'wait',
    ],
    [
      "serving another's address",
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { addresses: ['10.0.0.2'] }),
      'ignore',
    ],
    ["serving another's name", csr(SERVING, 'system:node:a'), wish('system:node:a', { dnsNames: ['b'] }), 'ignore'],
    [
      'serving all names and addresses that its Node shows',
      csr(SERVING, 'system:node:d'),
      wish('system:node:d', { dnsNames: own, addresses: ['fd00::4', '203.0.113.4'] }),
      'approve',
    ],
    [
      "serving another's address beside its own",
      csr(SERVING, 'system:node:d'),
      wish('system:node:d', { dnsNames: own, addresses: ['fd00::4', '10.0.0.1'] }),
      'ignore',
    ],
    [
      'serving the name that another Node shows',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { dnsNames: ['a', 'd.lan'] }),
      'ignore',
    ],
    [
      'serving any name of a domain',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { dnsNames: ['*.lan'] }),
      'wait',
    ],
    [
      'serving the address of the API server in the cluster',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { addresses: ['10.96.0.1'] }),
      'wait',
    ],
    [
      'serving localhost',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { dnsNames: ['a', 'localhost'] }),
      'ignore',
    ],
    ['serving as asked for by a person', csr(SERVING, 'ann'), wish('system:node:a', { dnsNames: ['a'] }), 'ignore'],
    [
      'serving as asked for by an account with the name of a node',
      { ...csr(SERVING, 'system:node:a'), spec: { ...csr(SERVING, 'system:node:a').spec, groups: ['people'] } },
      wish('system:node:a', { dnsNames: ['a'] }),
      'ignore',
    ],
    [
      'serving as the API server',
      csr(SERVING, 'system:node:a'),
      wish('system:node:a', { dnsNames: ['kubernetes.default.svc.cluster.local'] }),
      'ignore',
    ],
    ['serving for another node', csr(SERVING, 'system:node:b'), wish('system:node:a', { dnsNames: ['a'] }), 'ignore'],
    ['a client of a person', csr('kubernetes.io/kube-apiserver-client', 'ann'), wish('ann'), 'ignore'],
  ])('judges %s', (_, request, requested, expected) => {
    const plan = planApproval({ csr: request, request: requested, nodes });
    expect(plan.kind === 'ask' ? `ask ${plan.subresource}` : plan.kind).toBe(expected);
  });
});

describe('requestExpiryMs', () => {
  const created = '2026-01-01T00:00:00Z';
  const base = Date.parse(created);
  const withConditions = (conditions: object[]) =>
    ({ metadata: { creationTimestamp: created }, status: { conditions } }) as unknown as CertificateSigningRequest;
  it.each([
    ['an open request', [], 24],
    ['an approved one', [{ type: 'Approved', lastUpdateTime: '2026-01-01T02:00:00Z' }], 3],
    ['a failed one', [{ type: 'Failed' }], 1],
  ])('keeps %s', (_, conditions, hours) => {
    expect(requestExpiryMs(withConditions(conditions)) - base).toBe(hours * 3_600_000);
  });
});
