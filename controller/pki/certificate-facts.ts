import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';

/** What renewal decisions look at. */
export interface CertificateFacts {
  /** `O=` and `CN=` as they stand there. */
  readonly subject: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** `DNS:` and `IP:` names as given to the issuer, sorted; addresses in canonical text form. */
  readonly altNames: readonly string[];
}

/** SHA-256 of the public key's SubjectPublicKeyInfo, as kubeadm writes it: `sha256:<hex>`. Survives re-issuing of the CA with the same key. */
export function publicKeyHash(certificatePem: string): string {
  const spki = new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

/** Full IPv6 groups without leading zeros, so that two spellings of one address compare equal; IPv4 unchanged. */
export function canonicalAddress(address: string): string {
  if (!address.includes(':')) return address;
  const host = new URL(`http://[${address.split('%')[0]}]/`).hostname;
  return host.slice(1, -1);
}

export function readCertificateFacts(certificatePem: string): CertificateFacts {
  const certificate = new X509Certificate(certificatePem);
  const altNames = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((name) => name !== '')
    .map((name) => (name.startsWith('IP Address:') ? `IP:${canonicalAddress(name.slice('IP Address:'.length))}` : name))
    .sort();
  return {
    subject: certificate.subject.split('\n'),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    altNames,
  };
}

/** True once two thirds of the life have passed: a third is left to notice that renewal fails. */
export function isRenewalDue(facts: Pick<CertificateFacts, 'notBeforeMs' | 'notAfterMs'>, nowMs: number): boolean {
  return nowMs >= facts.notBeforeMs + ((facts.notAfterMs - facts.notBeforeMs) * 2) / 3;
}

/** True when `certificatePem` was signed by this CA's key. */
export function isIssuedBy(certificatePem: string, caPem: string): boolean {
  return new X509Certificate(certificatePem).verify(new X509Certificate(caPem).publicKey);
}

/** True when the key belongs to the certificate; guards against a half-restored folder. */
export function holdsPrivateKey(certificatePem: string, privateKeyPem: string): boolean {
  return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem));
}
