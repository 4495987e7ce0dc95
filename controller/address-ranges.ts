import { isIP } from 'node:net';
import { addressAt, type IpFamily } from '#api/meta/ip-address.ts';
import { type NamedRange, parseRanges, rangesOverlap } from '#api/meta/ip-ranges.ts';
import { ConfigError } from '#base/config.ts';
import { DNS_OFFSET } from './apiserver/resources/cluster-dns-service.ts';
import { CONTROLLER_CONFIG, type ControllerConfig } from './config.ts';
import type { PodCidr } from './controllers/controller-context.ts';

type RangeKeys = 'clusterCidr' | 'serviceCidr' | 'nodeCidrMaskSize' | 'nodeCidrMaskSizeIpv6';

/** Addresses of pods and Services, as configured and found to fit together; the first of each is of the family that comes first. */
export interface AddressRanges {
  readonly pods: readonly PodCidr[];
  readonly services: readonly NamedRange[];
  /** Of the `kubernetes` Service, and so of the API servers. */
  readonly primary: IpFamily;
}

const BITS: Readonly<Record<IpFamily, number>> = { IPv4: 32, IPv6: 128 };
/** As in Kubernetes: nobody looks for a free address among more. */
const LARGEST_SERVICE_RANGE: Readonly<Record<IpFamily, number>> = { IPv4: 8, IPv6: 64 };
/** Less holds not even the addresses of the API and of the cluster DNS, which is the tenth. */
const SMALLEST_SERVICE_BITS = 4;

/** Throws ConfigError on the first mistake. */
export function readAddressRanges(config: Pick<ControllerConfig, RangeKeys>): AddressRanges {
  const pods = rangesOf('clusterCidr', config.clusterCidr);
  const shares = pods.map((range) => shareOf(range, config));
  const services = rangesOf('serviceCidr', config.serviceCidr);
  for (const { cidr, range } of services) {
    const { family, prefixLength } = range;
    const smallest = BITS[family] - SMALLEST_SERVICE_BITS;
    if (prefixLength < LARGEST_SERVICE_RANGE[family] || prefixLength > smallest)
      throw new ConfigError(
        `serviceCidr: ${cidr} must have a prefix from /${LARGEST_SERVICE_RANGE[family]} to /${smallest}`,
      );
    if (!pods.some((other) => other.range.family === family))
      throw new ConfigError(
        `serviceCidr: ${cidr} is of ${family}, of which clusterCidr (${config.clusterCidr}) has no range: Services would have no endpoints`,
      );
    const overlapping = pods.find((other) => rangesOverlap(other.range, range));
    if (overlapping !== undefined)
      throw new ConfigError(`serviceCidr: ${cidr} overlaps with clusterCidr ${overlapping.cidr}`);
  }
  return { pods: shares, services, primary: services[0]!.range.family };
}

function rangesOf(key: 'clusterCidr' | 'serviceCidr', text: string): readonly NamedRange[] {
  const ranges = parseRanges(text);
  if ('problem' in ranges) throw new ConfigError(`${key}: ${ranges.problem}`);
  return ranges;
}

/** Refuses what no node could get a share of. */
function shareOf({ cidr, range }: NamedRange, config: Pick<ControllerConfig, RangeKeys>): PodCidr {
  const key = range.family === 'IPv6' ? 'nodeCidrMaskSizeIpv6' : 'nodeCidrMaskSize';
  const nodeMaskSize = config[key];
  if (range.prefixLength > nodeMaskSize)
    throw new ConfigError(`clusterCidr: ${cidr} is smaller than the share of one node, a /${nodeMaskSize} (${key})`);
  return { cidr, nodeMaskSize };
}

/** Keys of agents and their values, as far as they differ from the default: agents must look for pods and names where this controller has them. */
export function agentRanges(
  config: Pick<ControllerConfig, RangeKeys>,
): readonly (readonly [key: string, value: string])[] {
  const { pods, services } = readAddressRanges(config);
  const dns = services.map(({ range }) => addressAt(range, DNS_OFFSET)).join(',');
  return [
    ...(config.clusterCidr === CONTROLLER_CONFIG.clusterCidr.default
      ? []
      : [['clusterCidr', pods.map(({ cidr }) => cidr).join(',')] as const]),
    ...(config.serviceCidr === CONTROLLER_CONFIG.serviceCidr.default ? [] : [['clusterDns', dns] as const]),
  ];
}

/** The endpoints of the `kubernetes` Service must be of its family. Throws ConfigError. */
export function checkAdvertiseAddress(address: string, { primary, services }: AddressRanges): void {
  if (isIP(address) === 0) throw new ConfigError(`advertiseAddress: "${address}" is no address`);
  if (isIP(address) !== (primary === 'IPv6' ? 6 : 4))
    throw new ConfigError(
      `advertiseAddress: ${address} is not of ${primary}, as the first range of serviceCidr (${services[0]!.cidr}) is`,
    );
}
