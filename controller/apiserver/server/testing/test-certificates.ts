import { createPublicKey } from 'node:crypto';
import {
  type CertificateUsage,
  generatePrivateKeyPem,
  issueCertificate,
  type Subject,
} from '../../../pki/certificate-builder.ts';

export interface KeyPair {
  readonly key: string;
  readonly cert: string;
}

export interface TestAuthority {
  readonly cert: string;
  /** `dnsNames` besides localhost; valid from `fromMs` after now, by default an hour ago, until `lifeMs` after now, by default an hour. */
  issue(
    subject: Subject,
    usage: CertificateUsage,
    dnsNames?: readonly string[],
    lifeMs?: number,
    fromMs?: number,
  ): Promise<KeyPair>;
}

const HOUR_MS = 3_600_000;

/** A CA of this test alone, whose serving certificates are for 127.0.0.1. */
export async function createTestAuthority(name = 'test-ca'): Promise<TestAuthority> {
  const key = await generatePrivateKeyPem();
  const validity = { notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + HOUR_MS };
  const cert = await issueCertificate(
    {
      subject: { commonName: name, organizations: [] },
      publicKey: createPublicKey(key),
      usages: [],
      isCa: true,
      ...validity,
    },
    { certificatePem: undefined, privateKeyPem: key },
  );
  return {
    cert,
    async issue(subject, usage, dnsNames = [], lifeMs = HOUR_MS, fromMs = -HOUR_MS) {
      const leafKey = await generatePrivateKeyPem();
      const template = {
        subject,
        publicKey: createPublicKey(leafKey),
        usages: [usage, 'digital signature'] as const,
        altNames: { dnsNames: ['localhost', ...dnsNames], addresses: ['127.0.0.1'] },
        notBeforeMs: Date.now() + fromMs,
        notAfterMs: Date.now() + lifeMs,
      };
      return { key: leafKey, cert: await issueCertificate(template, { certificatePem: cert, privateKeyPem: key }) };
    },
  };
}
