import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import { configuredNodeIps, podRanges } from './family-settings.ts';
import type { Executor } from './host/host.ts';
import { hostRange } from './network/paths/vxlan.ts';
import { type ChosenBackend, chooseBackend, type ProxyMode } from './proxy/choose-backend.ts';

interface BackendSurroundings {
  readonly exec: Executor;
  readonly log: Logger;
  /** Of this node, as found; absent: as configured. */
  readonly nodeIps?: readonly string[] | undefined;
}

/** Also where nothing is proxied: `coracle agent cleanup` takes back what an earlier configuration brought. */
export function configuredBackend(
  config: AgentConfig,
  { exec, log, nodeIps = configuredNodeIps(config.nodeIp) }: BackendSurroundings,
): Promise<ChosenBackend> {
  return chooseBackend(config.proxyMode === 'none' ? 'auto' : (config.proxyMode as 'auto' | ProxyMode), {
    exec,
    log,
    clusterCidrs: podRanges(config.clusterCidr),
    nodeIps,
    nodePortRanges: nodePortRanges(config, nodeIps),
    localhostNodePorts: config.localhostNodePorts,
  });
}

function nodePortRanges({ nodePortAddresses }: AgentConfig, nodeIps: readonly string[]): readonly string[] | undefined {
  if (nodePortAddresses.length === 0) return undefined;
  return nodePortAddresses.flatMap((range) => (range === 'primary' ? nodeIps.map(hostRange) : [range]));
}
