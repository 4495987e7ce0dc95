import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { FileSystem } from '#agent/host/host.ts';

/** A certificate with its key, kept in one file so that a power cut never parts them. */
export interface KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----\n?/;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+-----END [A-Z ]*PRIVATE KEY-----\n?/;

/** Undefined when the file is absent, or not a certificate with its own key (it is then replaced). */
export async function readKeyPair(fs: FileSystem, path: string): Promise<KeyPair | undefined> {
  if ((await fs.info(path)) === undefined) return undefined;
  const text = await fs.readText(path);
  const certificatePem = CERTIFICATES.exec(text)?.[0];
  const privateKeyPem = PRIVATE_KEY.exec(text.replace(CERTIFICATES, ''))?.[0];
  if (certificatePem === undefined || privateKeyPem === undefined) return undefined;
  const isOwn = new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem));
  return isOwn ? { certificatePem, privateKeyPem } : undefined;
}

export function writeKeyPair(fs: FileSystem, path: string, pair: KeyPair): Promise<void> {
  const text = `${pair.certificatePem.trimEnd()}\n${pair.privateKeyPem.trimEnd()}\n`;
  return fs.writeAtomic(path, text, { mode: 0o600, durable: true });
}

export interface CertificateTerm {
  readonly commonName: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Values of its subject alternative names, sorted; IPv6 as Node prints it. */
  readonly altNames: readonly string[];
}

export function readTerm(certificatePem: string): CertificateTerm {
  const certificate = new X509Certificate(certificatePem);
  const commonName = /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '';
  const altNames = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((name) => name !== '')
    .map((name) => name.slice(name.indexOf(':') + 1))
    .sort();
  return {
    commonName,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    altNames,
  };
}

/** From two thirds of its life on a certificate is renewed; a third is left for a controller that is away. */
export const renewalMs = ({ notBeforeMs, notAfterMs }: Pick<CertificateTerm, 'notBeforeMs' | 'notAfterMs'>): number =>
  notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
