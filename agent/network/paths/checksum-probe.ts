import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Dialer, Executor } from '../../host/host.ts';
import { type Peer, VXLAN_DEVICE } from './vxlan.ts';

/**
 * What dialling showed. `garbled`: packets arrive only when the kernel computes their checksums itself; some network cards and kernels
 * write wrong ones into what is encapsulated, and the receiver drops it silently. `blocked`: the node answers, its tunnel does not.
 */
export type ChecksumVerdict = 'intact' | 'garbled' | 'blocked' | 'unknown';

export interface ChecksumProbeOptions {
  readonly exec: Executor;
  readonly dialer: Dialer;
  readonly log: Logger;
  /** A port that every node has: an answer of any kind, a refusal too, shows that packets arrive whole. */
  readonly port: number;
}

const DIAL_TIMEOUT_MS = 1_000;
const FEATURE = 'tx-checksum-ip-generic';

/** Dials a peer through the tunnel and, where that is silent, around it; leaves the offload off only where that cures it. */
export async function probeChecksums(peer: Peer, options: ChecksumProbeOptions): Promise<ChecksumVerdict> {
  const { exec, log, port } = options;
  if (await isAnswered(peer.address, options)) return 'intact';
  // A node that is down, or that lets nobody in, proves nothing.
  if (!(await isAnswered(peer.nodeAddress, options))) return 'unknown';
  const ethtool = await exec.find('ethtool');
  if (ethtool === undefined) {
    log.warn('checksums of encapsulated packets cannot be looked after: ethtool is not installed', {
      peer: peer.nodeAddress,
    });
    return 'blocked';
  }
  const setOffload = (value: 'on' | 'off') => exec.run([ethtool, '-K', VXLAN_DEVICE, FEATURE, value]);
  await setOffload('off');
  const isCured = await isAnswered(peer.address, options);
  await setOffload('on');
  if (!isCured) return 'blocked';
  // The peer may have come up just now: only what fails with the card and works without it, again, is the card's fault.
  if (await isAnswered(peer.address, options)) return 'intact';
  await setOffload('off');
  log.warn('checksums of encapsulated packets are computed by the kernel: the network card garbles them', {
    device: VXLAN_DEVICE,
    feature: FEATURE,
    peer: peer.nodeAddress,
    port,
  });
  return 'garbled';
}

async function isAnswered(address: string, { dialer, port, log }: ChecksumProbeOptions): Promise<boolean> {
  try {
    (await dialer.tcp(address, port, { timeoutMs: DIAL_TIMEOUT_MS })).destroy();
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ECONNREFUSED') return true;
    log.debug('no answer', { address, port, err: describeError(err) });
    return false;
  }
}
