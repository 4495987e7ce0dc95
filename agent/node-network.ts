import type { KubeClient } from '#api/client/client.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { type EndpointSlice, type Node, resources, type Service } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import type { Host } from './host/host.ts';
import { HostChanges } from './network/host-changes.ts';
import { createPodNetwork, type PodNetwork } from './network/pod-network.ts';
import { cniConfigDirectory } from './own-runtime.ts';
import { createIptablesBackend } from './proxy/iptables/iptables-backend.ts';
import { chooseIptables, type IptablesBinaries } from './proxy/iptables/iptables-binaries.ts';
import { createProxier } from './proxy/proxier.ts';
import type { ProxyBackend } from './proxy/proxy-backend.ts';

export interface NodeNetworkOptions {
  readonly config: AgentConfig;
  readonly nodeName: string;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Services and pod routes of this node; acts as `coracle:netd:<name>`, which reads no pods and no secrets. */
export interface NodeNetwork {
  start(client: KubeClient, signal: AbortSignal): void;
  /** The controller gave this node its pod addresses. */
  onPodCidrs(podCidrs: readonly string[]): Promise<void>;
  /** Takes everything back that this module put into the host. */
  cleanUp(): Promise<void>;
}

export async function createNodeNetwork(options: NodeNetworkOptions): Promise<NodeNetwork> {
  const { config, nodeName, host, clock, log } = options;
  const binaries = await chooseIptables(host.exec);
  const changes = new HostChanges(host, `${config.dataDir}/host-changes.json`);
  const podNetwork = createPodNetwork({
    host,
    changes,
    clock,
    log: log.child({ component: 'network' }),
    nodeName,
    clusterCidr: config.clusterCidr,
    cniConfigDirectory: cniConfigDirectory(config),
    ipamDirectory: `${config.runDir}/ipam`,
    mtu: config.mtu,
    iptables: binaries.iptables,
  });
  const backend = proxyBackend(options, binaries);
  let ownPodCidr: string | undefined;
  const applyPodCidr = async () => {
    if (config.networkMode === 'routes' && ownPodCidr !== undefined) await podNetwork.applyPodCidr(ownPodCidr);
  };
  return {
    start(client, signal) {
      const informers = createInformerFactory({ client, clock, log });
      if (config.networkMode === 'routes') podNetwork.start(informers.informer<Node>(resources.nodes), signal);
      if (config.proxyMode !== 'none') {
        createProxier({
          nodeName,
          services: informers.informer<Service>(resources.services),
          endpointSlices: informers.informer<EndpointSlice>(resources.endpointSlices),
          backend,
          clock,
          log: log.child({ component: 'proxy' }),
          // The masquerade of pods stands in the same tables.
          onRulesLost: () => {
            applyPodCidr().catch((err: unknown) =>
              log.error('the pod network could not be set up again', { err: describeError(err) }),
            );
          },
        }).start(signal);
      }
      informers.start(signal);
    },
    async onPodCidrs(podCidrs) {
      ownPodCidr = podCidrs.find((cidr) => !cidr.includes(':'));
      await applyPodCidr();
    },
    cleanUp: () => cleanUp(backend, podNetwork, changes, log),
  };
}

function proxyBackend({ host, config }: NodeNetworkOptions, binaries: IptablesBinaries): ProxyBackend {
  return createIptablesBackend({
    exec: host.exec,
    binaries,
    rules: { clusterCidr: config.clusterCidr, randomFully: true },
  });
}

/** Each step on its own: what one leaves must not keep the others from going. */
async function cleanUp(
  backend: ProxyBackend,
  podNetwork: PodNetwork,
  changes: HostChanges,
  log: Logger,
): Promise<void> {
  const steps: readonly (readonly [string, () => Promise<void>])[] = [
    ['proxy rules', () => backend.cleanUp()],
    ['pod network', () => podNetwork.cleanUp()],
    ['kernel settings', () => changes.restore()],
  ];
  for (const [what, step] of steps) {
    await step().catch((err: unknown) => log.warn('clean-up was not complete', { what, err: describeError(err) }));
  }
}
