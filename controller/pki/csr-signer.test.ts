import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type ClusterPki, openClusterPki } from './cluster-pki.ts';
import { certificateDurationMs, createCsrSigner, type RequestedCertificate, signingProblem } from './csr-signer.ts';

const node: RequestedCertificate = {
  subject: { commonName: 'system:node:a', organizations: ['system:nodes'] },
  dnsNames: [],
  addresses: [],
  emails: [],
  uris: [],
  otherSubjectAttributes: [],
};
const CLIENT = ['digital signature', 'client auth'];
const SERVER = ['digital signature', 'server auth'];
const KUBELET_CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet';
const KUBELET_SERVING = 'kubernetes.io/kubelet-serving';

describe('signingProblem', () => {
  it.each([
    ['a node client', KUBELET_CLIENT, node, CLIENT, undefined],
    ['a node client with a name', KUBELET_CLIENT, { ...node, dnsNames: ['a'] }, CLIENT, 'subject alternative names'],
    [
      'a node client without client auth',
      KUBELET_CLIENT,
      node,
      ['digital signature'],
      'usage "client auth" is required',
    ],
    ['a node client that serves', KUBELET_CLIENT, node, [...CLIENT, 'server auth'], 'usages not allowed'],
    [
      'a node client in a second group',
      KUBELET_CLIENT,
      { ...node, subject: { ...node.subject, organizations: ['system:nodes', 'system:masters'] } },
      CLIENT,
      'organization must be exactly',
    ],
    [
      'a node client without a node name',
      KUBELET_CLIENT,
      { ...node, subject: { ...node.subject, commonName: 'system:node:' } },
      CLIENT,
      'common name must start with',
    ],
    ['a serving certificate', KUBELET_SERVING, { ...node, addresses: ['10.0.0.1'] }, SERVER, undefined],
    ['a serving certificate without names', KUBELET_SERVING, node, SERVER, 'at least one DNS name'],
    ['a serving certificate with a URI', KUBELET_SERVING, { ...node, uris: ['x:y'] }, SERVER, 'URI'],
    [
      'netd',
      'coracle.dev/netd',
      { ...node, subject: { commonName: 'coracle:netd:a', organizations: ['coracle:netd'] } },
      CLIENT,
      undefined,
    ],
    ['netd under a node name', 'coracle.dev/netd', node, CLIENT, 'organization must be exactly'],
    [
      'a client that asks for system:masters',
      'kubernetes.io/kube-apiserver-client',
      { ...node, subject: { commonName: 'x', organizations: ['system:masters'] } },
      CLIENT,
      'system:masters',
    ],
  ] as const)('judges %s', (_, signer, request, usages, expected) => {
    const problem = signingProblem(signer, request, usages);
    if (expected === undefined) expect(problem).toBeUndefined();
    else expect(problem).toContain(expected);
  });
});

describe('certificateDurationMs', () => {
  it.each([
    [undefined, 365 * 86_400_000],
    [60, 600_000],
    [7200, 7_200_000],
    [10 ** 9, 365 * 86_400_000],
  ])('turns %s seconds into %d ms', (seconds, expected) => {
    expect(certificateDurationMs(seconds)).toBe(expected);
  });
});

describe('createCsrSigner', () => {
  let dir: string;
  let pki: ClusterPki;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'csr-'));
    pki = await openClusterPki({
      dir,
      clock: new FakeClock(),
      log: silentLogger,
      hostnames: [],
      addresses: [],
      serviceIp: '10.96.0.1',
      clusterDomain: 'cluster.local',
    });
  });
  afterAll(() => rm(dir, { recursive: true }));

  it("signs the agent's request for exactly the names it asked for", async () => {
    const key = await generateKey();
    const requestPem = await renderSigningRequest(key.privateKey, {
      commonName: 'system:node:a',
      organizations: ['system:nodes'],
      dnsNames: ['a'],
      addresses: ['10.0.0.7', 'fd00::7'],
    });
    const signer = createCsrSigner(pki);
    const order = { signerName: KUBELET_SERVING, requestPem, usages: SERVER, expirationSeconds: 3600 };
    const outcome = await signer.sign(order);
    const certificate = new X509Certificate('certificatePem' in outcome ? outcome.certificatePem : '');
    expect(certificate.checkPrivateKey(key.privateKey)).toBe(true);
    expect(certificate.verify(new X509Certificate(pki.caPem).publicKey)).toBe(true);
    expect(certificate.subjectAltName).toBe('DNS:a, IP Address:10.0.0.7, IP Address:FD00:0:0:0:0:0:0:7');
    expect(certificate.subject.split('\n')).toEqual(['O=system:nodes', 'CN=system:node:a']);
    expect(certificate.ca).toBe(false);
  });

  it('refuses what is no request, and what its signer does not allow', async () => {
    const signer = createCsrSigner(pki);
    const order = { signerName: KUBELET_CLIENT, usages: CLIENT, expirationSeconds: undefined };
    expect(await signer.sign({ ...order, requestPem: 'hello' })).toEqual({
      refused: expect.stringContaining('PKCS #10'),
    });
    const { privateKey } = await generateKey();
    const requestPem = await renderSigningRequest(privateKey, {
      commonName: 'root',
      organizations: ['system:masters'],
    });
    expect(await signer.sign({ ...order, requestPem })).toEqual({
      refused: expect.stringContaining('organization must be exactly'),
    });
  });
});
