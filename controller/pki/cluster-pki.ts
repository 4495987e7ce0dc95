import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { type CaLinks, readCaLinks, settleRotation } from './ca-rotation.ts';
import {
  ALWAYS_MS,
  type AltNames,
  type CertificateTemplate,
  generatePrivateKeyPem,
  issueCertificate,
  type Subject,
} from './certificate-builder.ts';
import {
  canonicalAddress,
  holdsPrivateKey,
  isIssuedBy,
  publicKeyHash,
  readCertificateFacts,
} from './certificate-facts.ts';
import { ensurePrivateFolder, readFileIfPresent, writeDurableFile } from './durable-file.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const CA_LIFE_MS = 10 * YEAR_MS;
const LEAF_LIFE_MS = YEAR_MS;

/** Of what others asked for: clocks of a fleet differ. Their owners compute from it when to renew, so that it is near the truth. */
const LEAF_BACKDATE_MS = HOUR_MS;

export interface CertificateAndKey {
  /** For the serving certificate the chain, CA last, so that joining agents can pin the CA. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface ServiceAccountKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** `kid` of tokens and of the JWKS: base64url of the SHA-256 of the public key's SPKI, as Kubernetes computes it. */
  readonly keyId: string;
}

/** What may be signed through `signCertificate`; who may ask for it is the signers' business (csr-signer.ts). */
export type CertificateOrder = Pick<CertificateTemplate, 'subject' | 'publicKey' | 'altNames' | 'usages'> & {
  readonly durationMs: number;
  /** Default: shortly before now. */
  readonly notBeforeMs?: number;
};

export type OwnCertificate = 'serving' | 'admin' | 'kubeletClient' | 'frontProxyClient';

export interface ClusterPki {
  /** PEM of the CA that signs and, while that is new, of the one before: what to trust. Read at every use: rotation replaces it. */
  readonly caPem: string;
  /** `sha256:<hex>` over the SPKI of the CA that signs: what a join token pins. */
  readonly caHash: string;
  /** Read at every use: `renew` replaces it. */
  readonly serving: CertificateAndKey;
  /** CN=kubernetes-admin, O=system:masters. */
  readonly admin: CertificateAndKey;
  /** What the API server shows to node APIs: CN=kube-apiserver-kubelet-client, which may do nothing but that. */
  readonly kubeletClient: CertificateAndKey;
  /** A CA of its own: whoever it vouches for may speak in any user's name. */
  readonly frontProxyCaPem: string;
  /** What the API server shows to the servers of aggregated APIs: CN=front-proxy-client. */
  readonly frontProxyClient: CertificateAndKey;
  readonly serviceAccountKey: ServiceAccountKey;
  /** Signs with the CA; never valid beyond the CA. Answers PEM, leaf only. */
  signCertificate(order: CertificateOrder): Promise<string>;
  /** Re-issues own certificates whose names changed or of whose life two thirds have passed; answers which. Call at least daily. */
  renew(names?: PkiNames): Promise<readonly OwnCertificate[]>;
}

export interface PkiNames {
  readonly hostnames: readonly string[];
  readonly addresses: readonly string[];
}

export interface ClusterPkiOptions extends PkiNames {
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Address of the `kubernetes` Service. */
  readonly serviceIp: string;
  readonly clusterDomain: string;
}

type Authority = 'cluster' | 'frontProxy';

/** The name under which the API server comes to the servers of aggregated APIs. */
export const FRONT_PROXY_CLIENT = 'front-proxy-client';

interface LeafPlan {
  readonly issuer: Authority;
  readonly file: string;
  readonly subject: Subject;
  readonly usages: CertificateTemplate['usages'];
  readonly altNames: AltNames | undefined;
}

/** Names under which clients reach the API server, in the order in which the certificate lists them. */
function servingNames({
  hostnames,
  addresses,
  serviceIp,
  clusterDomain,
}: Pick<ClusterPkiOptions, 'hostnames' | 'addresses' | 'serviceIp' | 'clusterDomain'>): AltNames {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  return {
    dnsNames: [...new Set(['localhost', ...hostnames, ...service, `kubernetes.default.svc.${clusterDomain}`])],
    addresses: [...new Set(['127.0.0.1', '::1', ...addresses, serviceIp].map(canonicalAddress))],
  };
}

function leafPlans(options: ClusterPkiOptions): Readonly<Record<OwnCertificate, LeafPlan>> {
  return {
    serving: {
      issuer: 'cluster',
      file: 'apiserver',
      subject: { commonName: 'kube-apiserver', organizations: [] },
      usages: ['server auth', 'digital signature'],
      altNames: servingNames(options),
    },
    admin: {
      issuer: 'cluster',
      file: 'admin',
      subject: { commonName: 'kubernetes-admin', organizations: ['system:masters'] },
      usages: ['client auth', 'digital signature'],
      altNames: undefined,
    },
    kubeletClient: {
      issuer: 'cluster',
      file: 'apiserver-kubelet-client',
      subject: { commonName: 'kube-apiserver-kubelet-client', organizations: [] },
      usages: ['client auth', 'digital signature'],
      altNames: undefined,
    },
    frontProxyClient: {
      issuer: 'frontProxy',
      file: 'front-proxy-client',
      subject: { commonName: FRONT_PROXY_CLIENT, organizations: [] },
      usages: ['client auth', 'digital signature'],
      altNames: undefined,
    },
  };
}

const sortedNames = (names: AltNames | undefined): string =>
  [...(names?.dnsNames ?? []).map((name) => `DNS:${name}`), ...(names?.addresses ?? []).map((name) => `IP:${name}`)]
    .sort()
    .join(',');

/** Why a leaf must be issued anew, or undefined when it may stay. */
function leafProblem(
  pair: CertificateAndKey | undefined,
  { caPem, plan, nowMs }: { caPem: string; plan: Pick<LeafPlan, 'altNames' | 'subject'>; nowMs: number },
): string | undefined {
  if (pair === undefined) return 'missing';
  if (!isIssuedBy(pair.certificatePem, caPem)) return 'another CA issued it';
  if (!holdsPrivateKey(pair.certificatePem, pair.privateKeyPem)) return 'its key does not match';
  const facts = readCertificateFacts(pair.certificatePem);
  if (facts.altNames.join(',') !== sortedNames(plan.altNames)) return 'its names changed';
  const subject = [...plan.subject.organizations.map((name) => `O=${name}`), `CN=${plan.subject.commonName}`];
  if (facts.subject.join() !== subject.join()) return 'its subject changed';
  const lastsUntilMs = Math.min(nowMs + LEAF_LIFE_MS, readCertificateFacts(caPem).notAfterMs);
  const isDue = facts.notAfterMs - nowMs <= LEAF_LIFE_MS / 3 && lastsUntilMs - facts.notAfterMs >= DAY_MS;
  return isDue ? 'two thirds of its life have passed' : undefined;
}

/** Opens the folder of keys and certificates, creating what is missing. Throws when a CA certificate stands there without its key. */
export async function openClusterPki(options: ClusterPkiOptions): Promise<ClusterPki> {
  await ensurePrivateFolder(options.dir);
  await settleRotation(options.dir);
  const cas = {
    cluster: await openCa(options, { file: 'ca', commonName: 'kubernetes' }),
    frontProxy: await openCa(options, { file: 'front-proxy-ca', commonName: 'front-proxy-ca' }),
  };
  const serviceAccountKey = await openServiceAccountKey(options.dir);
  const links = await readCaLinks(options.dir, cas.cluster.certificatePem);
  const pki = new FolderPki(options, { cas, links, serviceAccountKey });
  await pki.renew();
  return pki;
}

/** What a process that signs for the cluster and serves nothing holds of it; undefined where the CA's key is not in the folder. */
export async function openSigningCa({
  dir,
  clock,
}: Pick<ClusterPkiOptions, 'dir' | 'clock'>): Promise<Pick<ClusterPki, 'caPem' | 'signCertificate'> | undefined> {
  const ca = await readPair(dir, 'ca');
  if (ca === undefined) return undefined;
  return { caPem: ca.certificatePem, signCertificate: (order) => signWith(ca, order, clock) };
}

/** Never valid beyond the CA. Answers PEM, leaf only. */
function signWith(ca: CertificateAndKey, { durationMs, ...order }: CertificateOrder, clock: Clock): Promise<string> {
  const nowMs = clock.now();
  const caEndMs = readCertificateFacts(ca.certificatePem).notAfterMs;
  return issueCertificate(
    { notBeforeMs: nowMs - LEAF_BACKDATE_MS, ...order, notAfterMs: Math.min(nowMs + durationMs, caEndMs) },
    ca,
  );
}

async function openCa(
  { dir, clock, log }: ClusterPkiOptions,
  { file, commonName }: { readonly file: string; readonly commonName: string },
): Promise<CertificateAndKey> {
  const present = await readPair(dir, file);
  if (present !== undefined) return present;
  if ((await readFileIfPresent(join(dir, `${file}.crt`))) !== undefined) {
    throw new Error(
      `${dir} holds ${file}.crt but not ${file}.key: restore the key, or move ${file}.crt away to start a new cluster`,
    );
  }
  // A key without certificate is what a crash between the two writes leaves: nothing was signed with it yet, and it can go on.
  const privateKeyPem = (await readFileIfPresent(join(dir, `${file}.key`))) ?? (await generatePrivateKeyPem());
  const certificatePem = await issueCertificate(
    {
      subject: { commonName, organizations: [] },
      publicKey: createPublicKey(privateKeyPem),
      usages: [],
      isCa: true,
      notBeforeMs: ALWAYS_MS,
      notAfterMs: clock.now() + CA_LIFE_MS,
    },
    { certificatePem: undefined, privateKeyPem },
  );
  await writePair(dir, file, { certificatePem, privateKeyPem });
  log.info('created a CA', { certificate: file, caHash: publicKeyHash(certificatePem) });
  return { certificatePem, privateKeyPem };
}

async function openServiceAccountKey(dir: string): Promise<ServiceAccountKey> {
  const path = join(dir, 'sa.key');
  let pem = await readFileIfPresent(path);
  if (pem === undefined) {
    pem = await generatePrivateKeyPem();
    await writeDurableFile(path, pem);
  }
  const publicKey = createPublicKey(pem);
  const keyId = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
  return { privateKey: createPrivateKey(pem), publicKey, keyId };
}

export async function readPair(dir: string, file: string): Promise<CertificateAndKey | undefined> {
  const certificatePem = await readFileIfPresent(join(dir, `${file}.crt`));
  const privateKeyPem = await readFileIfPresent(join(dir, `${file}.key`));
  return certificatePem === undefined || privateKeyPem === undefined ? undefined : { certificatePem, privateKeyPem };
}

/** Key first: a certificate never stands on disk without its key. */
export async function writePair(dir: string, file: string, pair: CertificateAndKey): Promise<void> {
  await writeDurableFile(join(dir, `${file}.key`), pair.privateKeyPem);
  await writeDurableFile(join(dir, `${file}.crt`), pair.certificatePem);
}

interface FolderState {
  readonly cas: Readonly<Record<Authority, CertificateAndKey>>;
  readonly links: CaLinks;
  readonly serviceAccountKey: ServiceAccountKey;
}

class FolderPki implements ClusterPki {
  readonly frontProxyCaPem: string;
  readonly serviceAccountKey: ServiceAccountKey;
  readonly #options: ClusterPkiOptions;
  #cas: Readonly<Record<Authority, CertificateAndKey>>;
  #links: CaLinks;
  readonly #leaves = new Map<OwnCertificate, CertificateAndKey>();

  constructor(options: ClusterPkiOptions, { cas, links, serviceAccountKey }: FolderState) {
    this.#options = options;
    this.#cas = cas;
    this.#links = links;
    this.frontProxyCaPem = cas.frontProxy.certificatePem;
    this.serviceAccountKey = serviceAccountKey;
  }

  get caPem(): string {
    return this.#cas.cluster.certificatePem + this.#links.previousPem;
  }

  get caHash(): string {
    return publicKeyHash(this.#cas.cluster.certificatePem);
  }

  get serving(): CertificateAndKey {
    return this.#leaves.get('serving')!;
  }

  get admin(): CertificateAndKey {
    return this.#leaves.get('admin')!;
  }

  get kubeletClient(): CertificateAndKey {
    return this.#leaves.get('kubeletClient')!;
  }

  get frontProxyClient(): CertificateAndKey {
    return this.#leaves.get('frontProxyClient')!;
  }

  async signCertificate(order: CertificateOrder): Promise<string> {
    await this.#followRotation();
    return signWith(this.#cas.cluster, order, this.#options.clock);
  }

  /** Another process rotates: the folder says which CA signs, and which one is trusted besides. */
  async #followRotation(): Promise<void> {
    const { dir, log } = this.#options;
    const cluster = await readPair(dir, 'ca');
    // Between the two renames of a rotation, key and certificate are of two CAs.
    if (cluster === undefined || !holdsPrivateKey(cluster.certificatePem, cluster.privateKeyPem)) return;
    const before = this.caPem;
    this.#cas = { ...this.#cas, cluster };
    this.#links = await readCaLinks(dir, cluster.certificatePem);
    if (this.caPem !== before) log.info('the CA has been rotated', { caHash: this.caHash });
  }

  async renew(names?: PkiNames): Promise<readonly OwnCertificate[]> {
    const { dir, clock, log } = this.#options;
    await this.#followRotation();
    const renewed: OwnCertificate[] = [];
    for (const [which, plan] of Object.entries(leafPlans({ ...this.#options, ...names })) as [
      OwnCertificate,
      LeafPlan,
    ][]) {
      const present = this.#leaves.get(which) ?? (await readPair(dir, plan.file));
      const facts = { caPem: this.#cas[plan.issuer].certificatePem, plan, nowMs: clock.now() };
      const problem = leafProblem(present, facts) ?? (which === 'serving' ? this.#chainProblem(present) : undefined);
      if (problem === undefined) {
        this.#leaves.set(which, present!);
        continue;
      }
      const issued = await this.#issueLeaf(which, plan);
      await writePair(dir, plan.file, issued);
      this.#leaves.set(which, issued);
      renewed.push(which);
      log.info('issued a certificate', { certificate: plan.file, why: problem });
    }
    return renewed;
  }

  async #issueLeaf(which: OwnCertificate, plan: LeafPlan): Promise<CertificateAndKey> {
    const privateKeyPem = await generatePrivateKeyPem();
    const { subject, usages, altNames, issuer } = plan;
    const order = {
      subject,
      usages,
      publicKey: createPublicKey(privateKeyPem),
      durationMs: LEAF_LIFE_MS,
      notBeforeMs: ALWAYS_MS,
      ...(altNames === undefined ? {} : { altNames }),
    };
    const leafPem = await signWith(this.#cas[issuer], order, this.#options.clock);
    return { certificatePem: which === 'serving' ? leafPem + this.#chain : leafPem, privateKeyPem };
  }

  /** The way to the CA before first: who knows that one alone would stop at a root that it does not know. */
  get #chain(): string {
    const { previousPem, crossPem } = this.#links;
    return crossPem + previousPem + this.#cas.cluster.certificatePem;
  }

  #chainProblem(serving: CertificateAndKey | undefined): string | undefined {
    const [, chain] = serving?.certificatePem.split(/(?<=-----END CERTIFICATE-----\n)([\s\S]*)/, 2) ?? [];
    return chain === this.#chain ? undefined : 'its chain changed';
  }
}
