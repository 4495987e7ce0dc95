import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Host } from '#agent/host/host.ts';
import type { KubeClient } from '#api/client/client.ts';
import { isUnreachable, JoinError } from '#api/client/join-error.ts';
import { parseJoinToken } from '#api/client/join-token.ts';
import { fetchPinnedCa } from '#api/client/pinned-ca.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { type KeyPair, readKeyPair, readTerm, renewalMs, writeKeyPair } from './key-pair-file.ts';
import { type CertificateWish, requestCertificate } from './request-certificate.ts';

export type IdentityPart = 'node' | 'netd' | 'serving';

/** A connection to the API under certain credentials; the composition root builds it from the client. */
export interface Connection {
  readonly client: KubeClient;
  close(): void;
}

export interface ConnectCredentials {
  readonly servers: readonly string[];
  readonly caPem: string;
  readonly keyPair?: KeyPair;
  readonly token?: string;
}

export interface NodeIdentityOptions {
  readonly host: Pick<Host, 'fs'>;
  /** Folder of keys and certificates, mode 0700. */
  readonly dir: string;
  /** `https://host:6443`, tried in turn. */
  readonly servers: readonly string[];
  readonly nodeName: string;
  /** What `coracle token create` printed; needed only until the host has joined. */
  readonly joinToken: string | undefined;
  /** `sha256:<hex>`, where the token does not carry it. */
  readonly caHash?: string;
  /** PEM of the CA, where it came to the host on another way; makes the pin needless. */
  readonly caPem?: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connect: (credentials: ConnectCredentials) => Connection;
  readonly signal: AbortSignal;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/** Who this host is in the cluster. The keys were made here and never leave. Read the parts at every use: renewal replaces them. */
export interface NodeIdentity {
  readonly nodeName: string;
  readonly caPem: string;
  /** Client certificate of `system:node:<name>`. */
  readonly node: KeyPair;
  /** Client certificate of `coracle:netd:<name>`. */
  readonly netd: KeyPair;
  /** What the node API shows; undefined until `ensureServing` has obtained one. */
  readonly serving: KeyPair | undefined;
  /**
   * Obtains a serving certificate for the node's name and these addresses; true when it is a new one. Without addresses it can be had
   * before the Node exists; addresses are granted once the Node object shows them (it waits for that).
   */
  ensureServing(client: KubeClient, addresses: readonly string[]): Promise<boolean>;
  /**
   * Renews what is past two thirds of its life, with the node's own credentials, and tells of each part at once: of a node certificate
   * that has expired the next part already needs the successor.
   */
  renew(client: KubeClient, onRenewed: (part: IdentityPart) => void): Promise<void>;
  /** Other CAs to trust from now on, the one that signs first: `renew` then wants certificates of that one. */
  trust(caPem: string): Promise<void>;
  /** When the next part wants renewal, in epoch ms. */
  nextRenewalMs(): number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 0.5 };

const CLIENT_USAGES = ['digital signature', 'client auth'] as const;

function clientWishes(nodeName: string): Readonly<Record<'node' | 'netd', CertificateWish>> {
  return {
    node: {
      signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
      commonName: `system:node:${nodeName}`,
      organizations: ['system:nodes'],
      usages: CLIENT_USAGES,
    },
    netd: {
      signerName: 'coracle.dev/netd',
      commonName: `coracle:netd:${nodeName}`,
      organizations: ['coracle:netd'],
      usages: CLIENT_USAGES,
    },
  };
}

const servingWish = (nodeName: string, addresses: readonly string[]): CertificateWish => ({
  signerName: 'kubernetes.io/kubelet-serving',
  commonName: `system:node:${nodeName}`,
  organizations: ['system:nodes'],
  usages: ['digital signature', 'server auth'],
  dnsNames: [nodeName],
  addresses,
});

/** Loads this host's identity, or joins the cluster with the token first. Retries while nobody answers; other failures are JoinErrors. */
export async function ensureNodeIdentity(options: NodeIdentityOptions): Promise<NodeIdentity> {
  const { clock, log, signal, random } = options;
  await options.host.fs.makeDirectory(options.dir, 0o700);
  for (let failures = 1; ; failures++) {
    try {
      return await openIdentity(options);
    } catch (err) {
      if (signal.aborted || !isUnreachable(err)) throw err;
      const waitMs = backoffDelayMs(failures, { ...RETRY, ...(random === undefined ? {} : { random }) });
      log.warn('the cluster cannot be reached, trying again', { servers: options.servers, waitMs, err });
      await delay(clock, waitMs, signal);
    }
  }
}

async function openIdentity(options: NodeIdentityOptions): Promise<NodeIdentity> {
  const { host, dir, nodeName } = options;
  const stored = {
    node: await readKeyPair(host.fs, fileOf(dir, 'node')),
    netd: await readKeyPair(host.fs, fileOf(dir, 'netd')),
    serving: await readKeyPair(host.fs, fileOf(dir, 'serving')),
  };
  checkName(stored.node, nodeName);
  const caPem = (await readCa(options)) ?? (await pinCa(options));
  const node = await currentNodePair(options, caPem, stored.node);
  const netd =
    stored.netd === undefined || hasExpired(options, 'netd', stored.netd)
      ? await joinAs(options, 'netd', { caPem, keyPair: node })
      : stored.netd;
  return new FileNodeIdentity(options, { caPem, node, netd, serving: stored.serving });
}

const fileOf = (dir: string, part: IdentityPart): string => join(dir, `${part}.pem`);
const caFileOf = (dir: string): string => join(dir, 'ca.crt');

function hasExpired({ clock, log }: NodeIdentityOptions, part: IdentityPart, { certificatePem }: KeyPair): boolean {
  if (clock.now() < readTerm(certificatePem).notAfterMs) return false;
  log.warn('a certificate of this host has expired, a new one is needed', { part });
  return true;
}

/** The stored one, or another: for the key of one that has expired, while the cluster takes that for a proof, or for a token. */
async function currentNodePair(
  options: NodeIdentityOptions,
  caPem: string,
  stored: KeyPair | undefined,
): Promise<KeyPair> {
  if (stored === undefined) return joinAs(options, 'node', { caPem, token: tokenOf(options) });
  if (!hasExpired(options, 'node', stored)) return stored;
  try {
    return await joinAs(options, 'node', { caPem, keyPair: stored });
  } catch (err) {
    if (!(err instanceof JoinError) || err.kind !== 'badToken') throw err;
    const why = err.cause instanceof Error ? err.cause.message : err.message;
    options.log.warn('the cluster does not take the old key of this host', { why });
    if (options.joinToken === undefined) throw new JoinError('refused', why, { cause: err });
    return joinAs(options, 'node', { caPem, token: tokenOf(options) });
  }
}

/** A node's name is fixed when it joins: everything in the cluster that belongs to it hangs on that name. */
function checkName(pair: KeyPair | undefined, nodeName: string): void {
  if (pair === undefined) return;
  const joined = readTerm(pair.certificatePem).commonName.replace(/^system:node:/, '');
  if (joined === nodeName) return;
  throw new JoinError(
    'configuration',
    `this host joined as ${joined} but is configured as ${nodeName}: a node keeps its name; to join under another, remove its identity folder and join with a new token`,
  );
}

async function readCa({ host, dir, caPem }: NodeIdentityOptions): Promise<string | undefined> {
  const path = caFileOf(dir);
  return caPem ?? ((await host.fs.info(path)) === undefined ? undefined : host.fs.readText(path));
}

function tokenOf({ joinToken }: NodeIdentityOptions): string {
  const parsed = joinToken === undefined ? undefined : parseJoinToken(joinToken);
  if (parsed !== undefined) return parsed.token;
  throw new JoinError(
    'configuration',
    joinToken === undefined
      ? 'this host has not joined a cluster and has no token: make one with `coracle token create` on the controller'
      : 'the join token is malformed: it reads abcdef.0123456789abcdef@sha256:<64 hex digits>',
  );
}

async function pinCa(options: NodeIdentityOptions): Promise<string> {
  const { servers, clock, signal, host, dir } = options;
  const token = tokenOf(options);
  const caHash = parseJoinToken(options.joinToken ?? token)?.caHash ?? options.caHash;
  if (caHash === undefined) {
    throw new JoinError(
      'configuration',
      'the token carries no CA pin and none is configured: the cluster cannot be told from an impostor',
    );
  }
  let failure: unknown = new JoinError('configuration', 'no server is configured');
  for (const server of servers) {
    try {
      const caPem = await fetchPinnedCa({ server, caHash, nowMs: clock.now(), timeoutMs: CONNECT_TIMEOUT_MS, signal });
      await host.fs.writeAtomic(caFileOf(dir), caPem, { mode: 0o600, durable: true });
      return caPem;
    } catch (err) {
      if (!(err instanceof JoinError)) throw err;
      failure = err;
    }
  }
  throw failure;
}

async function joinAs(
  options: NodeIdentityOptions,
  part: 'node' | 'netd',
  credentials: Omit<ConnectCredentials, 'servers'>,
): Promise<KeyPair> {
  const { servers, clock, log, signal, nodeName, host, dir } = options;
  const connection = options.connect({ servers, ...credentials });
  try {
    const pair = await requestCertificate(
      { client: connection.client, clock, log, signal },
      clientWishes(nodeName)[part],
    );
    await writeKeyPair(host.fs, fileOf(dir, part), pair);
    log.info('obtained a certificate', { part });
    return pair;
  } finally {
    connection.close();
  }
}

interface IdentityState {
  readonly caPem: string;
  readonly node: KeyPair;
  readonly netd: KeyPair;
  readonly serving: KeyPair | undefined;
}

class FileNodeIdentity implements NodeIdentity {
  readonly nodeName: string;
  readonly #options: NodeIdentityOptions;
  #state: IdentityState;

  constructor(options: NodeIdentityOptions, state: IdentityState) {
    this.nodeName = options.nodeName;
    this.#options = options;
    this.#state = state;
  }

  get caPem(): string {
    return this.#state.caPem;
  }

  get node(): KeyPair {
    return this.#state.node;
  }

  get netd(): KeyPair {
    return this.#state.netd;
  }

  get serving(): KeyPair | undefined {
    return this.#state.serving;
  }

  async ensureServing(client: KubeClient, addresses: readonly string[]): Promise<boolean> {
    const wish = servingWish(this.nodeName, addresses);
    const present = this.serving;
    if (present !== undefined && !this.#isDue(present) && hasNames(present, wish)) return false;
    await this.#replace(client, 'serving', wish);
    return true;
  }

  async renew(client: KubeClient, onRenewed: (part: IdentityPart) => void): Promise<void> {
    for (const part of ['node', 'netd'] as const) {
      if (!this.#isDue(this.#state[part])) continue;
      await this.#replace(client, part, clientWishes(this.nodeName)[part]);
      onRenewed(part);
    }
    if (this.serving !== undefined && this.#isDue(this.serving)) {
      const { altNames } = readTerm(this.serving.certificatePem);
      const addresses = altNames.filter((name) => name !== this.nodeName);
      await this.#replace(client, 'serving', servingWish(this.nodeName, addresses));
      onRenewed('serving');
    }
  }

  async trust(caPem: string): Promise<void> {
    const { host, dir, log } = this.#options;
    await host.fs.writeAtomic(caFileOf(dir), caPem, { mode: 0o600, durable: true });
    this.#state = { ...this.#state, caPem };
    log.info('the cluster has another CA');
  }

  nextRenewalMs(): number {
    const { node, netd, serving } = this.#state;
    const pairs = [node, netd, ...(serving === undefined ? [] : [serving])];
    return Math.min(...pairs.map(({ certificatePem }) => renewalMs(readTerm(certificatePem))));
  }

  #isDue({ certificatePem }: KeyPair): boolean {
    // The first of the bundle is the one that signs.
    if (!new X509Certificate(certificatePem).verify(new X509Certificate(this.caPem).publicKey)) return true;
    return this.#options.clock.now() >= renewalMs(readTerm(certificatePem));
  }

  async #replace(client: KubeClient, part: IdentityPart, wish: CertificateWish): Promise<void> {
    const { clock, log, signal, host, dir } = this.#options;
    const pair = await requestCertificate({ client, clock, log, signal }, wish);
    await writeKeyPair(host.fs, fileOf(dir, part), pair);
    this.#state = { ...this.#state, [part]: pair };
    log.info('obtained a certificate', { part });
  }
}

/** Compared as addresses, so that two spellings of one IPv6 address are one. */
function hasNames(pair: KeyPair, { dnsNames = [], addresses = [] }: CertificateWish): boolean {
  const canonical = (name: string) => (name.includes(':') ? new URL(`http://[${name}]/`).hostname : name);
  const wanted = [...dnsNames, ...addresses].map(canonical).sort();
  const present = readTerm(pair.certificatePem).altNames.map(canonical).sort();
  return wanted.join() === present.join();
}
