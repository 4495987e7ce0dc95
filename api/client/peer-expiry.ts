import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock.ts';

/**
 * Why the certificate that the other end showed counts no more, or undefined. The handshake has looked at it by the host's clock, which may
 * stand in 1970 and find everything good that has long expired.
 */
export function expiredPeer(socket: unknown, clock: Pick<Clock, 'now'>): Error | undefined {
  const certificate = (socket as Partial<TLSSocket>).getPeerX509Certificate?.();
  if (certificate === undefined || certificate.validToDate.getTime() > clock.now()) return undefined;
  return new Error(
    `the certificate of the server expired at ${certificate.validToDate.toISOString()}, and it is ${new Date(clock.now()).toISOString()}`,
  );
}
