import { formatIp, type IpFamily, parseIp } from '#api/meta/ip-address.ts';
import { byFamily, parseRanges, type RangesByFamily } from '#api/meta/ip-ranges.ts';
import { ConfigError } from '#base/config.ts';
import type { AgentConfig } from './config.ts';

/** Pod addresses of the whole cluster, the family first that comes first. Throws ConfigError. */
export function podRanges(clusterCidr: string): RangesByFamily {
  const ranges = parseRanges(clusterCidr);
  if ('problem' in ranges) throw new ConfigError(`clusterCidr: ${ranges.problem}`);
  return byFamily(ranges);
}

/** Addresses of the node as configured, canonical: none, one, or one of each family. Throws ConfigError. */
export function configuredNodeIps(nodeIp: string): readonly string[] {
  const parts = nodeIp === '' ? [] : nodeIp.split(',').map((part) => part.trim());
  const addresses = parts.map((part) => {
    const address = parseIp(part);
    if (address === undefined) throw new ConfigError(`nodeIp: "${part}" is no address`);
    return address;
  });
  if (new Set(addresses.map(({ family }) => family)).size < addresses.length)
    throw new ConfigError(`nodeIp: "${nodeIp}" has more than one address of a family`);
  return addresses.map(formatIp);
}

/** What must fit together of two families, before anything is started. Throws ConfigError. */
export function checkFamilies({ clusterCidr, clusterDns, nodeIp }: AgentConfig): void {
  const families = Object.keys(podRanges(clusterCidr)) as IpFamily[];
  configuredNodeIps(nodeIp);
  for (const address of clusterDns) {
    const family = parseIp(address)?.family;
    if (family === undefined) throw new ConfigError(`clusterDns: "${address}" is no address`);
    if (!families.includes(family))
      throw new ConfigError(
        `clusterDns: ${address} is of ${family}, and clusterCidr has ${families.join(' and ')} alone: no pod could ask there; the cluster DNS is the tenth address of serviceCidr, such as fd43::a of fd43::/112`,
      );
  }
}
