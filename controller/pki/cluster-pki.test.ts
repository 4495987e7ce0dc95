import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createFlooredClock, WRITTEN_MS } from '#base/time-floor.ts';
import { type ClusterPkiOptions, openClusterPki } from './cluster-pki.ts';
import { renderKubeconfig } from './kubeconfig.ts';
import { startPkiRenewal } from './pki-renewal.ts';

const DAY_MS = 86_400_000;
let dir: string;
let clock: FakeClock;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pki-'));
  clock = new FakeClock(Date.UTC(2026, 5, 1));
});
afterEach(() => rm(dir, { recursive: true }));

const options = (changes: Partial<ClusterPkiOptions> = {}): ClusterPkiOptions => ({
  dir,
  clock,
  log: silentLogger,
  hostnames: ['pi'],
  addresses: ['192.168.0.5', 'fd00::0:1'],
  serviceIp: '10.96.0.1',
  clusterDomain: 'cluster.local',
  ...changes,
});

const chainOf = (pem: string) => pem.match(/-----BEGIN[\s\S]*?END CERTIFICATE-----/g)!;

describe('openClusterPki', () => {
  it('issues a serving chain for every name of the API server that ends in the pinned CA', async () => {
    const pki = await openClusterPki(options());
    const [leaf, ca] = chainOf(pki.serving.certificatePem).map((pem) => new X509Certificate(pem));
    expect(leaf!.checkIssued(ca!)).toBe(true);
    for (const name of ['localhost', 'pi', 'kubernetes.default.svc.cluster.local', 'kubernetes']) {
      expect(leaf!.checkHost(name)).toBe(name);
    }
    for (const address of ['127.0.0.1', '192.168.0.5', '10.96.0.1', 'fd00::1']) {
      expect(leaf!.checkIP(address)).toBe(address);
    }
    expect(ca!.ca).toBe(true);
    expect(pki.caHash).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it('is accepted by openssl for its purposes', async () => {
    const pki = await openClusterPki(options());
    const verify = (file: string, purpose: string) =>
      execFileSync('openssl', [
        'verify',
        '-attime',
        String(clock.now() / 1000),
        '-x509_strict',
        '-purpose',
        purpose,
        '-CAfile',
        join(dir, 'ca.crt'),
        join(dir, file),
      ]).toString();
    expect(verify('apiserver.crt', 'sslserver')).toContain('OK');
    expect(verify('admin.crt', 'sslclient')).toContain('OK');
    const admin = new X509Certificate(pki.admin.certificatePem);
    expect(admin.subject.split('\n')).toEqual(['O=system:masters', 'CN=kubernetes-admin']);
  });

  it('gives front proxies a CA of their own', async () => {
    const pki = await openClusterPki(options());
    const [client, ca] = [pki.frontProxyClient.certificatePem, pki.frontProxyCaPem].map(
      (pem) => new X509Certificate(pem),
    );
    expect(client!.subject).toBe('CN=front-proxy-client');
    expect(client!.checkIssued(ca!)).toBe(true);
    expect(client!.verify(new X509Certificate(pki.caPem).publicKey)).toBe(false);
  });

  it('keeps everything over a restart and writes keys readable by the owner alone', async () => {
    const first = await openClusterPki(options());
    const second = await openClusterPki(options());
    expect(second.caHash).toBe(first.caHash);
    expect(second.serving).toEqual(first.serving);
    expect(second.serviceAccountKey.keyId).toBe(first.serviceAccountKey.keyId);
    for (const file of ['ca.key', 'sa.key', 'admin.key', 'apiserver.key']) {
      expect((await stat(join(dir, file))).mode & 0o777).toBe(0o600);
    }
  });

  it('re-issues the serving certificate alone when an address changes', async () => {
    const pki = await openClusterPki(options());
    const admin = pki.admin;
    expect(await pki.renew({ hostnames: ['pi'], addresses: ['192.168.0.9'] })).toEqual(['serving']);
    expect(new X509Certificate(pki.serving.certificatePem).checkIP('192.168.0.9')).toBe('192.168.0.9');
    expect(pki.admin).toBe(admin);
  });

  it('re-issues a certificate that says more of its holder than it should', async () => {
    const pki = await openClusterPki(options());
    const { subject } = new X509Certificate(pki.kubeletClient.certificatePem);
    expect(subject).toBe('CN=kube-apiserver-kubelet-client');
    // As it was once issued: in the group that may do everything.
    const powerful = await pki.signCertificate({
      subject: { commonName: 'kube-apiserver-kubelet-client', organizations: ['system:masters'] },
      publicKey: createPublicKey(pki.kubeletClient.privateKeyPem),
      usages: ['client auth'],
      durationMs: 365 * DAY_MS,
    });
    await writeFile(join(dir, 'apiserver-kubelet-client.crt'), powerful);
    const next = await openClusterPki(options());
    expect(new X509Certificate(next.kubeletClient.certificatePem).subject).toBe(subject);
  });

  it('renews once two thirds of the life have passed', async () => {
    const pki = await openClusterPki(options());
    clock.jump(240 * DAY_MS);
    expect(await pki.renew()).toEqual([]);
    clock.jump(5 * DAY_MS);
    expect(await pki.renew()).toEqual(['serving', 'admin', 'kubeletClient', 'frontProxyClient']);
    expect(await pki.renew()).toEqual([]);
  });

  it('makes what counts today where the clock stands at 1970, and counts there too', async () => {
    const pki = await openClusterPki(options({ clock: createFlooredClock(new FakeClock(0), 0) }));
    for (const pem of [pki.caPem, pki.serving.certificatePem, pki.admin.certificatePem]) {
      const { validFromDate, validToDate } = new X509Certificate(pem);
      expect(validFromDate.getTime()).toBe(0);
      expect(validToDate.getTime()).toBeGreaterThanOrEqual(WRITTEN_MS + 365 * DAY_MS);
    }
  });

  it('takes what another machine asked for as of an hour ago', async () => {
    const pki = await openClusterPki(options());
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const subject = { commonName: 'a', organizations: [] };
    const pem = await pki.signCertificate({ subject, publicKey, usages: ['client auth'], durationMs: DAY_MS });
    expect(new X509Certificate(pem).validFromDate.getTime()).toBe(clock.now() - 3_600_000);
  });

  it('leaves certificates alone that end with their CA', async () => {
    const pki = await openClusterPki(options());
    clock.jump(3650 * DAY_MS - 200 * DAY_MS);
    expect(await pki.renew()).toHaveLength(4);
    clock.jump(100 * DAY_MS);
    expect(await pki.renew()).toEqual([]);
  });

  it('refuses to replace a CA whose key is lost', async () => {
    await openClusterPki(options());
    await unlink(join(dir, 'ca.key'));
    await expect(openClusterPki(options())).rejects.toThrow('holds ca.crt but not ca.key');
  });
});

describe('startPkiRenewal', () => {
  it('brings a changed address into the serving certificate', async () => {
    const pki = await openClusterPki(options());
    let addresses = ['192.168.0.5', 'fd00::0:1'];
    const renewed = Promise.withResolvers<readonly string[]>();
    const names = () => ({ hostnames: ['pi'], addresses });
    const stop = startPkiRenewal({ pki, clock, log: silentLogger, names, onRenewed: renewed.resolve });
    addresses = ['192.168.0.9'];
    await clock.advance(600_000);
    expect(await renewed.promise).toEqual(['serving']);
    expect(new X509Certificate(pki.serving.certificatePem).checkIP('192.168.0.9')).toBe('192.168.0.9');
    stop();
  });
});

describe('certificates of a controller that runs on', () => {
  it('are renewed at two thirds of their life, and at once where the clock jumps past it', async () => {
    const pki = await openClusterPki(options());
    const first = pki.serving;
    const renewals: (readonly string[])[] = [];
    let onNext = Promise.withResolvers<void>();
    const onRenewed = (renewed: readonly string[]) => {
      renewals.push(renewed);
      onNext.resolve();
    };
    const names = () => ({ hostnames: ['pi'], addresses: ['192.168.0.5', 'fd00::0:1'] });
    const stop = startPkiRenewal({ pki, clock, log: silentLogger, names, onRenewed });
    clock.jump(200 * DAY_MS);
    await clock.advance(60_000);
    expect(renewals).toEqual([]);
    clock.jump(50 * DAY_MS);
    await clock.advance(4_000);
    await onNext.promise;
    expect(renewals).toEqual([['serving', 'admin', 'kubeletClient', 'frontProxyClient']]);
    expect(pki.serving.privateKeyPem).not.toBe(first.privateKeyPem);
    onNext = Promise.withResolvers<void>();
    clock.jump(-250 * DAY_MS);
    await clock.advance(60_000);
    expect(renewals).toHaveLength(1);
    stop();
  });
});

describe('renderKubeconfig', () => {
  it('embeds the credentials', () => {
    const text = renderKubeconfig({
      servers: ['https://pi:6443'],
      caPem: 'CA',
      certificatePem: 'CERT',
      privateKeyPem: 'KEY',
    });
    const config = parse(text);
    expect(config['current-context']).toBe('kubernetes-admin@coracle');
    expect(config.clusters[0].cluster).toEqual({ 'certificate-authority-data': 'Q0E=', server: 'https://pi:6443' });
    expect(config.users[0].user['client-key-data']).toBe('S0VZ');
  });
});
