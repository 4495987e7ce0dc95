import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';

export interface SigningRequestFacts {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly string[];
}

export interface GeneratedKey {
  readonly privateKey: KeyObject;
  /** PKCS #8. */
  readonly privateKeyPem: string;
}

/** A P-256 key made on this host; it never leaves it. */
export async function generateKey(): Promise<GeneratedKey> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return { privateKey, privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** PKCS #10 PEM. The writer is loaded on first use: an agent that starts from its saved identity never pays its 9 MB. */
export async function renderSigningRequest(key: KeyObject, facts: SigningRequestFacts): Promise<string> {
  await import('reflect-metadata/lite');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(crypto);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
  const altNames = [
    ...(facts.dnsNames ?? []).map((value) => ({ type: 'dns', value }) as const),
    ...(facts.addresses ?? []).map((value) => ({ type: 'ip', value }) as const),
  ];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [...facts.organizations.map((organization) => ({ O: [organization] })), { CN: [facts.commonName] }],
    keys: {
      privateKey: key.toCryptoKey(algorithm, false, ['sign']),
      publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']),
    },
    signingAlgorithm: algorithm,
    extensions: altNames.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(altNames)],
  });
  return `${request.toString('pem')}\n`;
}
