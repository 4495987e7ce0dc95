import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { untimelyCertificate } from '../../pki/untimely-certificate.ts';
import type { Peer } from './api-request.ts';
import type { NodeRequest } from './http-exchange.ts';

/** The CAs by which a connection is judged, as PEM. */
export interface TrustedCas {
  /** Bundle of those that sign client certificates. */
  readonly ca: string;
  /** The one that vouches for front proxies; absent: there are none. */
  readonly frontProxyCa?: string;
}

const peers = new WeakMap<object, Peer>();

/** Facts of the connection, read once for all its requests: getPeerCertificate() parses the certificate anew on every call. */
export function peerOf(incoming: NodeRequest, cas: TrustedCas): Peer {
  const socket = incoming.socket as TLSSocket;
  // On HTTP/2 `socket` is a new proxy for each stream; the session is what lasts.
  const connection = 'stream' in incoming ? (incoming.stream.session ?? socket) : socket;
  const known = peers.get(connection);
  if (known !== undefined) return known;
  const subject = socket.authorized || isUntimely(socket, cas.ca) ? subjectOf(socket) : undefined;
  const isProxy =
    socket.authorized &&
    subject !== undefined &&
    cas.frontProxyCa !== undefined &&
    isRootedIn(socket, cas.frontProxyCa);
  const peer: Peer = {
    address: socket.remoteAddress ?? '',
    certificate: isProxy ? undefined : subject,
    ...(isProxy ? { frontProxy: { commonName: subject.commonName } } : {}),
    ...(subject === undefined ? refusedCertificate(socket) : {}),
    component: undefined,
  };
  peers.set(connection, peer);
  return peer;
}

/** It proves nothing, but that somebody tried is for the audit log. */
function refusedCertificate(socket: TLSSocket): Pick<Peer, 'refusedCertificate'> {
  if (socket.authorized || socket.getPeerX509Certificate?.() === undefined) return {};
  const fault: unknown = socket.authorizationError;
  return {
    refusedCertificate: String((fault instanceof Error ? (fault as { code?: string }).code : fault) ?? 'unknown'),
  };
}

function subjectOf(socket: TLSSocket): Peer['certificate'] {
  const { subject, valid_to: until } = (socket.getPeerCertificate() ?? {}) as {
    subject?: { CN?: string | string[]; O?: string | string[] };
    valid_to?: string;
  };
  const commonName = [subject?.CN ?? []].flat()[0];
  if (commonName === undefined) return undefined;
  const expiresAtMs = until === undefined ? {} : { expiresAtMs: Date.parse(until) };
  return { commonName, organizations: [subject?.O ?? []].flat(), ...expiresAtMs };
}

/**
 * Ours but for its dates. One that has expired still says whose key it was: authenticators look at its end. One of tomorrow was signed by
 * us all the same, so that it is our clock that is behind.
 */
const isUntimely = (socket: TLSSocket, caPem: string): boolean =>
  untimelyCertificate(socket, { faults: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'], caPem, usage: 'client' }) !==
  undefined;

/** The certificate was verified against all our CAs at once; which of them it was says the end of its chain. */
function isRootedIn(socket: TLSSocket, caPem: string): boolean {
  const ca = new X509Certificate(caPem).fingerprint256;
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  const seen = new Set<string>();
  while (at?.fingerprint256 !== undefined && !seen.has(at.fingerprint256)) {
    if (at.fingerprint256 === ca) return true;
    seen.add(at.fingerprint256);
    at = at.issuerCertificate;
  }
  return false;
}
