import { createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { generatePrivateKeyPem } from '../pki/certificate-builder.ts';
import { readCertificateFacts } from '../pki/certificate-facts.ts';
import { type CertificateAndKey, openClusterPki, openSigningCa, readPair } from '../pki/cluster-pki.ts';
import { createCsrSigner } from '../pki/csr-signer.ts';
import { keepCredentials } from './renew-credentials.ts';

const DAY_MS = 86_400_000;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'renewal-'));
  const names = { hostnames: [], addresses: [], serviceIp: '10.96.0.1', clusterDomain: 'cluster.local' };
  await openClusterPki({ dir, clock: systemClock, log: silentLogger, ...names });
});
afterAll(() => rm(dir, { recursive: true }));

async function pairFor(durationMs: number): Promise<CertificateAndKey> {
  const privateKeyPem = await generatePrivateKeyPem();
  const ca = (await openSigningCa({ dir, clock: systemClock }))!;
  const certificatePem = await ca.signCertificate({
    subject: { commonName: 'system:kube-scheduler', organizations: [] },
    publicKey: createPublicKey(privateKeyPem),
    usages: ['client auth', 'digital signature'],
    durationMs,
  });
  return { certificatePem, privateKeyPem };
}

it('asks for another certificate once two thirds of its life have passed, and for none before', async () => {
  const cluster = new MemoryCluster(systemClock);
  const client = cluster.client();
  const api = client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);
  const renewed: CertificateAndKey[] = [];
  const stop = new AbortController();
  const keep = (pair: CertificateAndKey) =>
    keepCredentials(
      {
        dir,
        component: 'scheduler',
        pair,
        client,
        clock: systemClock,
        log: silentLogger,
        onRenewed: (one) => renewed.push(one),
      },
      stop.signal,
    );
  // Certificates begin an hour in the past.
  const [fresh, due] = [keep(await pairFor(DAY_MS)), keep(await pairFor(60_000))];
  const [request] = await waitUntil('a request', 5_000, async () => {
    const { items } = await api.fetchList();
    return items.length > 0 && items;
  });
  expect((await api.fetchList()).items).toHaveLength(1);
  expect(request).toMatchObject({ spec: { signerName: 'kubernetes.io/kube-apiserver-client' } });
  const signer = createCsrSigner((await openSigningCa({ dir, clock: systemClock }))!);
  const outcome = await signer.sign({
    signerName: request!.spec.signerName,
    requestPem: Buffer.from(request!.spec.request, 'base64').toString(),
    usages: request!.spec.usages ?? [],
    expirationSeconds: undefined,
  });
  if (!('certificatePem' in outcome)) throw new Error(outcome.refused);
  const certificate = Buffer.from(outcome.certificatePem).toString('base64');
  await api.update({ ...request!, status: { certificate } }, 'status');
  await waitUntil('the new certificate', 10_000, () => renewed.length === 1);
  stop.abort();
  await Promise.all([fresh, due]);
  expect(await readPair(dir, 'scheduler')).toEqual(renewed[0]);
  expect(readCertificateFacts(renewed[0]!.certificatePem).notAfterMs).toBeGreaterThan(Date.now() + 300 * DAY_MS);
});
