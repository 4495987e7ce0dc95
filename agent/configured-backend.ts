import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import { configuredNodeIps, podRanges } from './family-settings.ts';
import type { Executor } from './host/host.ts';
import { hostRange } from './network/paths/vxlan.ts';
import { type ChosenBackend, chooseBackend, type ProxyMode } from './proxy/choose-backend.ts';

/** Also where nothing is proxied: `coracle agent cleanup` takes back what an earlier configuration brought. */
export function configuredBackend(config: AgentConfig, exec: Executor, log: Logger): Promise<ChosenBackend> {
  return chooseBackend(config.proxyMode === 'none' ? 'auto' : (config.proxyMode as 'auto' | ProxyMode), {
    exec,
    log,
    clusterCidrs: podRanges(config.clusterCidr),
    nodePortRanges: nodePortRanges(config),
    localhostNodePorts: config.localhostNodePorts,
  });
}

function nodePortRanges({ nodePortAddresses, nodeIp }: AgentConfig): readonly string[] | undefined {
  if (nodePortAddresses.length === 0) return undefined;
  return nodePortAddresses.flatMap((range) => {
    return range === 'primary' ? configuredNodeIps(nodeIp).map(hostRange) : [range];
  });
}
