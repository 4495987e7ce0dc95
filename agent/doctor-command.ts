import { ConfigError } from '#base/config.ts';
import { silentLogger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import { configuredBackend } from './configured-backend.ts';
import { podRanges } from './family-settings.ts';
import { describeMachine, readInventory } from './host/inventory.ts';
import { createLinuxHost } from './host/linux-host.ts';
import { examineHostForPods } from './kubelet/node/host-report.ts';
import { findLackOfWireguard } from './network/paths/wireguard/find-lack.ts';
import { examineNetwork } from './network/trouble/doctor.ts';
import { chooseIptables } from './proxy/iptables/iptables-binaries.ts';
import { lacksProblem } from './services-problem.ts';

/** `coracle doctor network`: prints what on this host is in the way of pods, and answers the exit code: 0 nothing, 1 something. */
export async function runNetworkDoctor(config: AgentConfig): Promise<number> {
  const { clusterCidr, networkMode, podEncryption, proxyMode } = config;
  if (networkMode !== 'routes')
    throw new ConfigError(`networkMode is "${networkMode}": the pod network of this node is somebody else's`);
  const host = createLinuxHost();
  const { iptables } = await chooseIptables(host.exec);
  const { isSound, lines } = await examineNetwork({
    ...{ host, iptables },
    clusterCidrs: podRanges(clusterCidr),
    async findMore() {
      const wireguard = podEncryption === 'wireguard' ? await findLackOfWireguard(host) : undefined;
      const encryption = wireguard === undefined ? [] : [wireguard];
      if (proxyMode === 'none') return encryption;
      const backend = await configuredBackend(config, { exec: host.exec, log: silentLogger });
      return [...encryption, ...lacksProblem(await backend.findLacks())];
    },
  });
  for (const line of lines) console.log(line);
  return isSound ? 0 : 1;
}

/**
 * `coracle doctor host`: prints what this kernel cannot do for pods and what the machine is, and answers the exit code: 0 all that matters is
 * there, 1 not.
 */
export async function runHostDoctor(): Promise<number> {
  const { isSound, lines } = await examineHostForPods(createLinuxHost());
  for (const line of [...lines, describeMachine(await readInventory())]) console.log(line);
  return isSound ? 0 : 1;
}
