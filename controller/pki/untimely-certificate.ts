import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** OpenSSL looks at the host's clock alone, and tells of one fault only. */
export type UntimelyFault = 'CERT_HAS_EXPIRED' | 'CERT_NOT_YET_VALID';

const USAGES = { client: '1.3.6.1.5.5.7.3.2', server: '1.3.6.1.5.5.7.3.1' } as const;
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

export interface UntimelyRule {
  readonly faults: readonly UntimelyFault[];
  /** Bundle of the CAs that may have signed it. */
  readonly caPem: string;
  readonly usage: keyof typeof USAGES;
}

/**
 * The certificate of a peer that the handshake refused for its dates alone: one of these CAs signed it, for this usage, and the peer holds
 * its key. Whether it counts is for the caller and a clock that is believed. Undefined for anything else that is wrong with it.
 */
export function untimelyCertificate(
  socket: Pick<TLSSocket, 'authorizationError' | 'getPeerX509Certificate'>,
  { faults, caPem, usage }: UntimelyRule,
): X509Certificate | undefined {
  const fault: unknown = socket.authorizationError;
  const code = fault instanceof Error ? (fault as { code?: string }).code : fault;
  if (!(faults as readonly unknown[]).includes(code)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || !certificate.keyUsage?.includes(USAGES[usage])) return undefined;
  const authorities = (caPem.match(CERTIFICATES) ?? []).map((pem) => new X509Certificate(pem));
  const isOurs = authorities.some((ca) => ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  return isOurs ? certificate : undefined;
}
