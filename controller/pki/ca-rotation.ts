import { createPublicKey } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { ALWAYS_MS, generatePrivateKeyPem, issueCertificate } from './certificate-builder.ts';
import { holdsPrivateKey, publicKeyHash, readCertificateFacts } from './certificate-facts.ts';
import { readFileIfPresent, writeDurableFile } from './durable-file.ts';

const HOUR_MS = 3_600_000;
const CA_LIFE_MS = 10 * 365 * 24 * HOUR_MS;

/** The CA before this one, still trusted; without its key. */
const PREVIOUS = 'ca-previous.crt';
/** The present CA's key, vouched for by the one before: who trusts that alone follows this to the present one. */
const CROSS = 'ca-cross.crt';
const NEXT = 'ca-next';

/** The administrator asks for what cannot be now. */
export class RotationRefused extends Error {
  override readonly name = 'RotationRefused';
}

/** What stands beside the present CA while one is taken out of service; both '' otherwise. */
export interface CaLinks {
  readonly previousPem: string;
  readonly crossPem: string;
}

/**
 * Finishes or undoes what a crash left of a rotation: the key is replaced before the certificate, so it tells which. Call before the CA is
 * read.
 */
export async function settleRotation(dir: string): Promise<void> {
  const next = await readFileIfPresent(join(dir, `${NEXT}.crt`));
  if (next === undefined) return;
  const key = await readFileIfPresent(join(dir, 'ca.key'));
  if (key !== undefined && holdsPrivateKey(next, key)) {
    await rename(join(dir, `${NEXT}.crt`), join(dir, 'ca.crt'));
    return;
  }
  for (const file of [`${NEXT}.key`, `${NEXT}.crt`, CROSS, PREVIOUS]) await rm(join(dir, file), { force: true });
}

/** Of the CA whose certificate this is; links of another one are of no use. */
export async function readCaLinks(dir: string, caPem: string): Promise<CaLinks> {
  const previousPem = (await readFileIfPresent(join(dir, PREVIOUS))) ?? '';
  const crossPem = (await readFileIfPresent(join(dir, CROSS))) ?? '';
  const isOfThis = crossPem !== '' && publicKeyHash(crossPem) === publicKeyHash(caPem);
  return isOfThis ? { previousPem, crossPem } : { previousPem: '', crossPem: '' };
}

/** Makes another CA the one that signs; the present one stays trusted until `retireCa`. Answers the hash of the new one's key. */
export async function rotateCa({ dir, clock }: { readonly dir: string; readonly clock: Clock }): Promise<string> {
  await settleRotation(dir);
  const [oldPem, oldKey] = [await readFileIfPresent(join(dir, 'ca.crt')), await readFileIfPresent(join(dir, 'ca.key'))];
  if (oldPem === undefined || oldKey === undefined) throw new RotationRefused(`${dir} holds no CA with its key`);
  if ((await readCaLinks(dir, oldPem)).previousPem !== '') {
    throw new RotationRefused('the CA before this one is still trusted: "coracle ca retire" ends that first');
  }
  const nowMs = clock.now();
  const privateKeyPem = await generatePrivateKeyPem();
  const template = {
    // A name of its own: chains are built by name first.
    subject: { commonName: `kubernetes-${Math.floor(nowMs / 1000)}`, organizations: [] },
    publicKey: createPublicKey(privateKeyPem),
    usages: [],
    isCa: true,
    notBeforeMs: ALWAYS_MS,
  };
  const certificatePem = await issueCertificate(
    { ...template, notAfterMs: nowMs + CA_LIFE_MS },
    { certificatePem: undefined, privateKeyPem },
  );
  const notAfterMs = readCertificateFacts(oldPem).notAfterMs;
  const crossPem = await issueCertificate(
    { ...template, notAfterMs },
    { certificatePem: oldPem, privateKeyPem: oldKey },
  );
  await writeDurableFile(join(dir, PREVIOUS), oldPem);
  await writeDurableFile(join(dir, CROSS), crossPem);
  await writeDurableFile(join(dir, `${NEXT}.crt`), certificatePem);
  await writeDurableFile(join(dir, `${NEXT}.key`), privateKeyPem);
  await rename(join(dir, `${NEXT}.key`), join(dir, 'ca.key'));
  await settleRotation(dir);
  return publicKeyHash(certificatePem);
}

/** Ends the trust in the CA before the present one: whatever it signed counts no more. */
export async function retireCa(dir: string): Promise<void> {
  const caPem = await readFileIfPresent(join(dir, 'ca.crt'));
  if (caPem === undefined || (await readCaLinks(dir, caPem)).previousPem === '') {
    throw new RotationRefused('no CA waits to be taken out of service');
  }
  await rm(join(dir, PREVIOUS), { force: true });
  await rm(join(dir, CROSS), { force: true });
}
