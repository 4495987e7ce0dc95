import { parseCidr } from '#api/meta/ip-address.ts';
import { ConfigError } from '#base/config.ts';
import type { AgentConfig } from './config.ts';
import { createLinuxHost } from './host/linux-host.ts';
import { examineNetwork } from './network/trouble/doctor.ts';
import { chooseIptables } from './proxy/iptables/iptables-binaries.ts';

/** `coracle doctor network`: prints what on this host is in the way of pods, and answers the exit code: 0 nothing, 1 something. */
export async function runNetworkDoctor({ clusterCidr, networkMode }: AgentConfig): Promise<number> {
  if (networkMode !== 'routes')
    throw new ConfigError(`networkMode is "${networkMode}": the pod network of this node is somebody else's`);
  const host = createLinuxHost();
  const range = clusterCidr.split(',').find((cidr) => parseCidr(cidr.trim())?.family === 'IPv4');
  const { iptables } = await chooseIptables(host.exec);
  const { isSound, lines } = await examineNetwork({ host, iptables, clusterCidr: range?.trim() ?? '' });
  for (const line of lines) console.log(line);
  return isSound ? 0 : 1;
}
