import type { IpFamily } from '#api/meta/ip-address.ts';
import type { ServicePortPlan } from './service-port-plan.ts';

/** One UDP entry of the kernel's connection table: what the client sent, and where the answer comes from. */
export interface UdpFlow {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly answerSource: string;
  readonly answerPort: number;
}

/** Reads `conntrack -L -p udp`: two tuples a line, the second as seen from the other side. */
export function parseUdpFlows(listing: string): UdpFlow[] {
  return listing.split('\n').flatMap((line) => {
    const sources = [...line.matchAll(/\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)];
    const [original, answer] = sources;
    if (original === undefined || answer === undefined) return [];
    return [
      {
        source: original[1]!,
        destination: original[2]!,
        sourcePort: Number(original[3]),
        destinationPort: Number(original[4]),
        answerSource: answer[1]!,
        answerPort: Number(answer[3]),
      },
    ];
  });
}

/**
 * Flows to Services that lead where no endpoint is any more, or nowhere although there are endpoints now. UDP has no end of a
 * connection: as long as the client goes on sending, the kernel would keep to the old choice. `nodeAddresses` tell a node port from
 * somebody else's server.
 */
export function findStaleFlows(
  flows: readonly UdpFlow[],
  plans: readonly ServicePortPlan[],
  nodeAddresses: ReadonlySet<string>,
): UdpFlow[] {
  const byAddress = new Map<string, Set<string>>();
  const byNodePort = new Map<string, Set<string>>();
  for (const plan of plans) {
    if (plan.protocol !== 'UDP' || !plan.hasAnyEndpoint) continue;
    const targets = new Set(
      [...plan.clusterEndpoints, ...plan.localEndpoints].map(({ address, port }) => `${address} ${port}`),
    );
    for (const address of [plan.clusterIp, ...plan.externalIps, ...plan.loadBalancerIps])
      byAddress.set(`${address} ${plan.port}`, targets);
    if (plan.nodePort !== 0) byNodePort.set(`${plan.family} ${plan.nodePort}`, targets);
  }
  return flows.filter((flow) => {
    const { destination, destinationPort } = flow;
    const targets =
      byAddress.get(`${destination} ${destinationPort}`) ??
      (nodeAddresses.has(destination) ? byNodePort.get(`${familyOf(destination)} ${destinationPort}`) : undefined);
    return targets !== undefined && !targets.has(`${flow.answerSource} ${flow.answerPort}`);
  });
}

const familyOf = (address: string): IpFamily => (address.includes(':') ? 'IPv6' : 'IPv4');
