import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { readCaLinks, retireCa, rotateCa, settleRotation } from './ca-rotation.ts';
import { type ClusterPki, openClusterPki } from './cluster-pki.ts';

let dir: string;
let clock: FakeClock;
let pki: ClusterPki;

const open = () =>
  openClusterPki({
    dir,
    clock,
    log: silentLogger,
    hostnames: [],
    addresses: [],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  });

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rotation-'));
  clock = new FakeClock(Date.UTC(2026, 5, 1));
  pki = await open();
});
afterEach(() => rm(dir, { recursive: true }));

const certificates = (pem: string) =>
  (pem.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----\n/g) ?? []).map((one) => new X509Certificate(one));

describe('rotation of the CA', () => {
  it('makes another one sign, for which the one before vouches', async () => {
    const [before] = certificates(pki.caPem);
    const hash = await rotateCa({ dir, clock });
    expect(await pki.renew()).toEqual(expect.arrayContaining(['serving', 'admin', 'kubeletClient']));
    expect(pki.caHash).toBe(hash);
    const [after, trusted] = certificates(pki.caPem);
    expect(trusted?.fingerprint256).toBe(before?.fingerprint256);
    const [leaf, cross, ...roots] = certificates(pki.serving.certificatePem);
    expect(leaf?.verify(after!.publicKey)).toBe(true);
    expect(cross?.verify(before!.publicKey)).toBe(true);
    expect(leaf?.verify(cross!.publicKey)).toBe(true);
    expect(roots.map((one) => one.fingerprint256)).toEqual([before?.fingerprint256, after?.fingerprint256]);
  });

  it('reaches who signs in another thread, without being told', async () => {
    const other = await open();
    const { publicKey } = await import('node:crypto').then(({ generateKeyPairSync }) =>
      generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    );
    await rotateCa({ dir, clock });
    const subject = { commonName: 'x', organizations: [] };
    const signed = await other.signCertificate({ subject, publicKey, usages: ['client auth'], durationMs: 1000 });
    await pki.renew();
    expect(new X509Certificate(signed).verify(new X509Certificate(pki.caPem).publicKey)).toBe(true);
  });

  it('is not begun twice, and ends with the trust in the CA before', async () => {
    await expect(retireCa(dir)).rejects.toThrow('no CA waits');
    await rotateCa({ dir, clock });
    await expect(rotateCa({ dir, clock })).rejects.toThrow('still trusted');
    await pki.renew();
    await retireCa(dir);
    expect(await pki.renew()).toEqual(['serving']);
    expect(certificates(pki.caPem)).toHaveLength(1);
    expect(certificates(pki.serving.certificatePem)).toHaveLength(2);
    await rotateCa({ dir, clock });
  });

  it.each<[string, boolean, () => Promise<void>]>([
    ['before the key was replaced', false, async () => rm(join(dir, 'ca-next.key'), { force: true })],
    ['between key and certificate', true, async () => rename(join(dir, 'ca-next.key'), join(dir, 'ca.key'))],
  ])('survives a crash %s', async (_, isDone, crash) => {
    const caPem = await readFile(join(dir, 'ca.crt'), 'utf8');
    const caKey = await readFile(join(dir, 'ca.key'), 'utf8');
    await rotateCa({ dir, clock });
    const [nextPem, nextKey] = [
      await readFile(join(dir, 'ca.crt'), 'utf8'),
      await readFile(join(dir, 'ca.key'), 'utf8'),
    ];
    // Back to the moment at which everything was prepared.
    await writeFile(join(dir, 'ca-next.crt'), nextPem);
    await writeFile(join(dir, 'ca-next.key'), nextKey);
    await writeFile(join(dir, 'ca.crt'), caPem);
    await writeFile(join(dir, 'ca.key'), caKey);
    await crash();
    await settleRotation(dir);
    expect(await readFile(join(dir, 'ca.crt'), 'utf8')).toBe(isDone ? nextPem : caPem);
    expect((await readCaLinks(dir, isDone ? nextPem : caPem)).previousPem).toBe(isDone ? caPem : '');
    await open();
  });
});
