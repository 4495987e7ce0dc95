import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { describeError } from '#base/errors.ts';
import { JoinError } from './join-error.ts';

export interface PinOptions {
  /** `https://host:6443`. */
  readonly server: string;
  /** `sha256:<hex>` over the SPKI of the CA. */
  readonly caHash: string;
  readonly nowMs: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** `sha256:<hex>` over the certificate's SubjectPublicKeyInfo. */
export function publicKeyHash(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

/** The chain that the peer sent, leaf first. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set<string>();
  let next = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && !seen.has(next.fingerprint256)) {
    seen.add(next.fingerprint256);
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}

/** Shakes hands without trusting anything yet: only the chain is looked at, nothing is sent. */
function fetchChain({ server, timeoutMs, signal }: PinOptions): Promise<X509Certificate[]> {
  const { hostname, port } = new URL(server);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      socket.destroy();
      reject(new JoinError('unreachable', `no TLS answer from ${server}: ${describeError(cause)}`, { cause }));
    };
    const socket = connect({
      host,
      port: Number(port || 443),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    socket.setTimeout(timeoutMs, () => fail(new Error(`timed out after ${timeoutMs} ms`)));
    socket.once('error', fail);
    signal?.addEventListener('abort', () => fail(signal.reason), { once: true });
    socket.once('secureConnect', () => {
      const chain = chainOf(socket);
      socket.destroy();
      resolve(chain);
    });
  });
}

const date = (ms: number): string => new Date(ms).toISOString();

/** The CA of this chain that the pin names, once it is proved that it signed the leaf. Pure; throws JoinError. */
function choosePinnedCa(
  chain: readonly X509Certificate[],
  { server, caHash, nowMs }: Pick<PinOptions, 'server' | 'caHash' | 'nowMs'>,
): string {
  const [leaf] = chain;
  const pinned = chain.filter((certificate) => certificate.ca && publicKeyHash(certificate) === caHash);
  const ca = pinned.find(isRoot) ?? pinned[0];
  if (leaf === undefined || ca === undefined) {
    const shown = chain.filter((certificate) => certificate.ca).map(publicKeyHash);
    const what = shown.length === 0 ? 'shows no CA' : `shows the CA ${shown.join(', ')}`;
    throw new JoinError(
      'wrongCa',
      `${server} ${what}, but the token pins ${caHash}: the token belongs to another cluster, or something stands between`,
    );
  }
  if (!isSignedUnder(ca, leaf, chain)) {
    throw new JoinError('wrongCa', `the certificate of ${server} was not signed by the pinned CA ${caHash}`);
  }
  const [fromMs, toMs] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  if (nowMs < fromMs || nowMs > toMs) {
    throw new JoinError(
      'clockSkew',
      `the certificate of ${server} holds from ${date(fromMs)} to ${date(toMs)}, but this host's clock says ${date(nowMs)}: set the clock`,
    );
  }
  // While a CA is new, the one before it vouches for it, and is what the chain ends in.
  return (isRoot(ca) ? ca : (chain.find((one) => isRoot(one) && ca.verify(one.publicKey)) ?? ca)).toString();
}

const isRoot = (certificate: X509Certificate): boolean => certificate.ca && certificate.verify(certificate.publicKey);

/** By the CA itself, or by one that it vouches for: its successor, during a rotation. */
const isSignedUnder = (ca: X509Certificate, leaf: X509Certificate, chain: readonly X509Certificate[]): boolean =>
  leaf.verify(ca.publicKey) ||
  chain.some((link) => link.ca && leaf.verify(link.publicKey) && link.verify(ca.publicKey));

/** PEM of the cluster's CA, proved by its pin. Throws JoinError. */
export async function fetchPinnedCa(options: PinOptions): Promise<string> {
  return choosePinnedCa(await fetchChain(options), options);
}
