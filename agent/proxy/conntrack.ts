import type { Logger } from '#base/logger.ts';
import { ExecError, type Executor, type HostAddress } from '../host/host.ts';
import type { ServicePortPlan } from './service-port-plan.ts';
import { findStaleFlows, parseUdpFlows, type UdpFlow } from './stale-flows.ts';

export interface ConntrackOptions {
  readonly exec: Executor;
  readonly log: Logger;
  readonly addresses: () => Promise<readonly HostAddress[]>;
}

/** Runs at once: each deletion is a program start. */
const WIDTH = 8;

/** Ends UDP flows that the plans no longer want; without `conntrack` on the host it does nothing and says so once. */
export function createFlowCleaner({ exec, log, addresses }: ConntrackOptions) {
  let told = false;

  /** All flows of one Service address that lead to the same place: a busy Service has thousands, and each run is a program start. */
  async function deleteFlowsLike(path: string, flow: UdpFlow): Promise<void> {
    const family = flow.destination.includes(':') ? 'ipv6' : 'ipv4';
    const tuple = [
      ...['-d', flow.destination, '--dport', flow.destinationPort],
      ...['--reply-src', flow.answerSource, '--reply-port-src', flow.answerPort],
    ];
    try {
      await exec.run([path, '-D', '-f', family, '-p', 'udp', ...tuple.map(String)]);
    } catch (err) {
      // They ended by themselves meanwhile.
      if (!(err instanceof ExecError && err.stderr.includes('0 flow entries'))) throw err;
    }
  }

  return async function cleanFlows(plans: readonly ServicePortPlan[]): Promise<void> {
    const path = await exec.find('conntrack');
    if (path === undefined) {
      if (!told)
        log.warn('no conntrack on this host: UDP clients may keep to endpoints that are gone; install "conntrack"');
      told = true;
      return;
    }
    const families = new Set(plans.map(({ family }) => family));
    const listings = [...families].map(async (family) => {
      const { stdout } = await exec.run([path, '-L', '-f', family === 'IPv6' ? 'ipv6' : 'ipv4', '-p', 'udp']);
      return parseUdpFlows(stdout);
    });
    const own = new Set((await addresses()).map(({ address }) => address));
    const stale = findStaleFlows((await Promise.all(listings)).flat(), plans, own);
    const kinds = [...new Map(stale.map((flow) => [leadOf(flow), flow])).values()];
    for (let start = 0; start < kinds.length; start += WIDTH)
      await Promise.all(kinds.slice(start, start + WIDTH).map((flow) => deleteFlowsLike(path, flow)));
    if (stale.length > 0) log.debug('ended UDP flows to endpoints that are gone', { flows: stale.length });
  };
}

const leadOf = ({ destination, destinationPort, answerSource, answerPort }: UdpFlow): string =>
  [destination, destinationPort, answerSource, answerPort].join(' ');
