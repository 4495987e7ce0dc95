import { type IpFamily, parseCidr } from '#api/meta/ip-address.ts';
import { ConfigError } from '#base/config.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import type { Executor } from './host/host.ts';
import { type ChosenBackend, chooseBackend, type ProxyMode } from './proxy/choose-backend.ts';

/** Also where nothing is proxied: `coracle agent cleanup` takes back what an earlier configuration brought. */
export function configuredBackend(config: AgentConfig, exec: Executor, log: Logger): Promise<ChosenBackend> {
  return chooseBackend(config.proxyMode === 'none' ? 'auto' : (config.proxyMode as 'auto' | ProxyMode), {
    exec,
    log,
    clusterCidrs: cidrsByFamily(config.clusterCidr),
    nodePortRanges: nodePortRanges(config),
    localhostNodePorts: config.localhostNodePorts,
  });
}

function nodePortRanges({ nodePortAddresses, nodeIp }: AgentConfig): readonly string[] | undefined {
  if (nodePortAddresses.length === 0) return undefined;
  return nodePortAddresses.flatMap((range) => {
    if (range !== 'primary') return [range];
    return nodeIp === '' ? [] : [`${nodeIp}/${nodeIp.includes(':') ? 128 : 32}`];
  });
}

/** One range per family, comma-separated, as the API server has its service ranges. */
export function cidrsByFamily(clusterCidr: string): Partial<Record<IpFamily, string>> {
  const ranges = clusterCidr.split(',').map((range) => range.trim());
  return Object.fromEntries(
    ranges.flatMap((range) => {
      const family = parseCidr(range)?.family;
      if (family === undefined) throw new ConfigError(`clusterCidr: "${range}" is no range of addresses`);
      return [[family, range]];
    }),
  );
}
