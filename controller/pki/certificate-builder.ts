import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  type webcrypto,
} from 'node:crypto';
import { promisify } from 'node:util';

type X509Module = typeof import('@peculiar/x509');

let loading: Promise<X509Module> | undefined;

/**
 * The X.509 writer costs 9 MB and is needed only when something is signed, so it is loaded on first use. Reading certificates never
 * needs it (certificate-facts.ts).
 */
function loadX509(): Promise<X509Module> {
  loading ??= (async () => {
    // Its dependency injection refuses to load without this polyfill.
    await import('reflect-metadata/lite');
    const x509 = await import('@peculiar/x509');
    x509.cryptoProvider.set(crypto);
    return x509;
  })();
  return loading;
}

const EC_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;

/**
 * From when on the CAs and the controller's own certificates count. A Raspberry Pi has no clock of its own and may boot in 1970, and a
 * clock that was ahead is set back: "not yet" must keep nobody from the API, and protects nobody.
 */
export const ALWAYS_MS = 0;

export interface Subject {
  readonly commonName: string;
  readonly organizations: readonly string[];
}

export type CertificateUsage = 'client auth' | 'server auth' | 'digital signature' | 'key encipherment';

export interface AltNames {
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
}

export interface CertificateTemplate {
  readonly subject: Subject;
  /** The holder's key. */
  readonly publicKey: KeyObject;
  readonly altNames?: AltNames;
  readonly usages: readonly CertificateUsage[];
  readonly isCa?: boolean;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Undefined certificate = self-signed. */
export interface Issuer {
  readonly certificatePem: string | undefined;
  readonly privateKeyPem: string;
}

/** A fresh P-256 private key as PKCS #8 PEM. */
export async function generatePrivateKeyPem(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** 16 random bytes, positive and without leading zero byte (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

const nameOf = ({ organizations, commonName }: Subject) => [
  ...organizations.map((organization) => ({ O: [organization] })),
  { CN: [commonName] },
];

function keyUsageFlags(x509: X509Module, template: CertificateTemplate): number {
  const { KeyUsageFlags } = x509;
  if (template.isCa) return KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature;
  return template.usages.includes('key encipherment')
    ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment
    : KeyUsageFlags.digitalSignature;
}

async function extensionsOf(x509: X509Module, template: CertificateTemplate, holder: webcrypto.CryptoKey) {
  const extensions: import('@peculiar/x509').Extension[] = [
    new x509.BasicConstraintsExtension(template.isCa ?? false, undefined, true),
    new x509.KeyUsagesExtension(keyUsageFlags(x509, template), true),
    await x509.SubjectKeyIdentifierExtension.create(holder),
  ];
  const extended = [
    ...(template.usages.includes('client auth') ? [x509.ExtendedKeyUsage.clientAuth] : []),
    ...(template.usages.includes('server auth') ? [x509.ExtendedKeyUsage.serverAuth] : []),
  ];
  if (extended.length > 0) extensions.push(new x509.ExtendedKeyUsageExtension(extended));
  const names = [
    ...(template.altNames?.dnsNames ?? []).map((value) => ({ type: 'dns', value }) as const),
    ...(template.altNames?.addresses ?? []).map((value) => ({ type: 'ip', value }) as const),
  ];
  if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names));
  return extensions;
}

/** Signs the template; answers PEM. */
export async function issueCertificate(template: CertificateTemplate, issuer: Issuer): Promise<string> {
  const x509 = await loadX509();
  const signingKey = createPrivateKey(issuer.privateKeyPem).toCryptoKey(EC_P256, false, ['sign']);
  const holder = template.publicKey.toCryptoKey(algorithmOf(template.publicKey), true, ['verify']);
  const extensions = await extensionsOf(x509, template, holder);
  const subject = nameOf(template.subject);
  const parent = issuer.certificatePem === undefined ? undefined : new x509.X509Certificate(issuer.certificatePem);
  if (parent !== undefined) {
    extensions.push(await x509.AuthorityKeyIdentifierExtension.create(parent.publicKey));
  }
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: parent === undefined ? subject : parent.subjectName.toJSON(),
    notBefore: new Date(template.notBeforeMs),
    notAfter: new Date(template.notAfterMs),
    publicKey: holder,
    signingKey,
    signingAlgorithm: SIGNATURE,
    extensions,
  });
  return `${certificate.toString('pem')}\n`;
}

function algorithmOf(key: KeyObject) {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return { name: 'ECDSA', namedCurve: CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 'P-256' } as const;
    case 'rsa':
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
    case 'ed25519':
      return { name: 'Ed25519' } as const;
    default:
      throw new Error(`unsupported key type ${key.asymmetricKeyType}`);
  }
}

const CURVES: Readonly<Record<string, 'P-256' | 'P-384' | 'P-521'>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** What a certificate signing request asks for. */
export interface ParsedRequest {
  readonly subject: Subject;
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  /** Attributes of the subject other than O and CN: a signer that does not carry them over must refuse. */
  readonly otherSubjectAttributes: readonly string[];
  readonly publicKey: KeyObject;
}

/** The request is not PKCS #10, or its signature does not match its key. */
export class BadRequestPem extends Error {
  override readonly name = 'BadRequestPem';
}

const SUBJECT_ALT_NAME = '2.5.29.17';

/** Parses PEM and proves possession of the key; throws BadRequestPem. */
export async function parseSigningRequest(pem: string): Promise<ParsedRequest> {
  const x509 = await loadX509();
  let request: import('@peculiar/x509').Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
    if (!(await request.verify())) throw new Error('the signature does not match the public key');
  } catch (cause) {
    throw new BadRequestPem('not a valid PKCS #10 certificate request', { cause });
  }
  const attributes = request.subjectName.toJSON();
  const valuesOf = (type: string) => attributes.flatMap((attribute) => attribute[type] ?? []);
  const extension = request.getExtension(SUBJECT_ALT_NAME);
  const altNames = extension instanceof x509.SubjectAlternativeNameExtension ? extension.names.toJSON() : [];
  const named = (type: string) => altNames.filter((name) => name.type === type).map((name) => name.value);
  return {
    subject: { commonName: valuesOf('CN')[0] ?? '', organizations: valuesOf('O') },
    dnsNames: named('dns'),
    addresses: named('ip'),
    emails: named('email'),
    uris: named('url'),
    otherSubjectAttributes: attributes
      .flatMap((attribute) => Object.keys(attribute))
      .filter((t) => t !== 'CN' && t !== 'O'),
    publicKey: createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' }),
  };
}
