import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createSecuredServer, type SecuredServer } from '#controller/apiserver/testing/secured-server.ts';
import { type CertificateUsage, generatePrivateKeyPem, issueCertificate } from '#controller/pki/certificate-builder.ts';
import { type CertificateAndKey, type ClusterPki, openClusterPki } from '#controller/pki/cluster-pki.ts';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

/*
 * Attempts to come in with a certificate that looks like one of ours. Each must be refused, and leave a line in the audit log that names
 * nobody.
 */

const HOUR_MS = 3_600_000;
const SECRETS = '/api/v1/namespaces/kube-system/secrets';
const MASTER = { commonName: 'kubernetes-admin', organizations: ['system:masters'] };

let folder: string;
let pki: ClusterPki;
let api: SecuredServer;
let server: HttpsServer;
/** A CA of somebody else with the name of ours. */
let thief: CertificateAndKey;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/coracle-attempts-');
  const names = { hostnames: ['localhost'], addresses: [], serviceIp: '10.96.0.1', clusterDomain: 'cluster.local' };
  pki = await openClusterPki({ dir: join(folder, 'pki'), clock: systemClock, log: silentLogger, ...names });
  api = await createSecuredServer();
  const { certificatePem: cert, privateKeyPem: key } = pki.serving;
  const tls = { cert, key, ca: pki.caPem, frontProxyCa: pki.frontProxyCaPem };
  server = await listenHttps({ host: '127.0.0.1', port: 0, tls, handler: api.handle, log: silentLogger });
  thief = await issue({ isCa: true, subject: { commonName: 'kubernetes', organizations: [] } });
});
afterAll(async () => {
  await server?.close();
  api?.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Wish {
  readonly subject?: typeof MASTER;
  readonly by?: CertificateAndKey;
  readonly usage?: CertificateUsage;
  readonly isCa?: boolean;
  readonly fromMs?: number;
  readonly untilMs?: number;
}

async function issue(wish: Wish): Promise<CertificateAndKey> {
  const { subject = MASTER, by, usage = 'client auth', isCa = false, fromMs = -HOUR_MS, untilMs = HOUR_MS } = wish;
  const privateKeyPem = await generatePrivateKeyPem();
  const template = {
    subject,
    isCa,
    publicKey: createPublicKey(createPrivateKey(privateKeyPem)),
    usages: isCa ? [] : [usage, 'digital signature' as const],
    notBeforeMs: Date.now() + fromMs,
    notAfterMs: Date.now() + untilMs,
  };
  const certificatePem = await issueCertificate(template, by ?? { certificatePem: undefined, privateKeyPem });
  return { certificatePem, privateKeyPem };
}

/** As our own CA signs it. */
async function issued(subject = MASTER, usage: CertificateUsage = 'client auth'): Promise<CertificateAndKey> {
  const privateKeyPem = await generatePrivateKeyPem();
  const publicKey = createPublicKey(createPrivateKey(privateKeyPem));
  const certificatePem = await pki.signCertificate({ subject, publicKey, usages: [usage], durationMs: HOUR_MS });
  return { certificatePem, privateKeyPem };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function get(pair: CertificateAndKey, headers: Record<string, string> = {}): Promise<Answer> {
  const { certificatePem: cert, privateKeyPem: key } = pair;
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: server.port,
      path: SECRETS,
      ca: pki.caPem,
      cert,
      key,
      headers,
      agent: false,
    };
    const request = https.get(options, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on('error', reject);
  });
}

const withChain = ({ certificatePem, privateKeyPem }: CertificateAndKey, ...more: CertificateAndKey[]) => ({
  certificatePem: certificatePem + more.map((one) => one.certificatePem).join(''),
  privateKeyPem,
});

const NODE = { commonName: 'system:node:a', organizations: ['system:nodes'] };

describe('a certificate', () => {
  test('of our CA is let in, so that what is refused below is refused for what it says', async () => {
    expect((await get(await issued())).status).toBe(200);
  });

  test.each<[string, () => Promise<CertificateAndKey>]>([
    ['a CA with the name of ours', () => issue({ by: thief })],
    ['that CA, which comes along', async () => withChain(await issue({ by: thief }), thief)],
    ['that CA and has expired', () => issue({ by: thief, untilMs: -1_000 })],
    ['that CA and begins tomorrow', () => issue({ by: thief, fromMs: 24 * HOUR_MS, untilMs: 48 * HOUR_MS })],
    ['that CA as a node', () => issue({ by: thief, subject: NODE })],
    ['itself', () => issue({})],
    [
      'a node, with the certificate of the node as its CA',
      async () => {
        const node = await issued(NODE);
        return withChain(await issue({ by: node }), node);
      },
    ],
    ['our CA for a server', () => issued(MASTER, 'server auth')],
    ['our CA to the API server itself, for serving', async () => pki.serving],
  ])('signed by %s names nobody', async (_, make) => {
    const before = api.auditLines.length;
    const { status, body } = await get(await make());
    expect(status).toBe(401);
    expect(JSON.parse(body)).toMatchObject({ kind: 'Status', reason: 'Unauthorized', code: 401 });
    const lines = api.auditLines.slice(before).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(
      expect.objectContaining({
        requestURI: SECRETS,
        responseStatus: expect.objectContaining({ code: 401 }),
        annotations: { 'authentication.coracle.dev/refused-certificate': expect.stringMatching(/^[A-Z_]+$/) },
      }),
    );
    expect(JSON.stringify(lines)).not.toContain('system:masters');
  });

  test('of our CA with the name of the front proxy speaks for nobody else', async () => {
    const proxy = await issued({ commonName: 'front-proxy-client', organizations: [] });
    const headers = { 'x-remote-user': 'kubernetes-admin', 'x-remote-group': 'system:masters' };
    const { status, body } = await get(proxy, headers);
    expect(status).toBe(403);
    expect(body).toContain('User \\"front-proxy-client\\" cannot list');
  });
});

describe('a kubeconfig', () => {
  const run = async (caPem: string, pair: CertificateAndKey) => {
    const kubeconfig = join(folder, 'stolen.kubeconfig');
    const servers = [`https://127.0.0.1:${server.port}`];
    await writeFile(kubeconfig, renderKubeconfig({ servers, caPem, ...pair }));
    return runKubectl(['get', 'secrets', '-n', 'kube-system'], { kubeconfig });
  };

  test('with a certificate of a CA that stole our name is turned away', async () => {
    const before = api.auditLines.length;
    expect(await run(pki.caPem, await issue({ by: thief }))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Unauthorized|must be logged in|asked for the client to provide credentials/),
    });
    expect(api.auditLines.slice(before).join('\n')).toMatch(/"code":401/);
  });

  test('that trusts such a CA does not talk to us', async () => {
    expect(await run(thief.certificatePem, await issued())).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('x509: certificate signed by unknown authority'),
    });
  });
});
