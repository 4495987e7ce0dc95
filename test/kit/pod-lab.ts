import { execFileSync, spawnSync } from 'node:child_process';
import { type NamespaceAgent, startNamespaceAgent } from './namespace-agent.ts';
import { createNetworkLab, type LabHost, labPrefix, type NetworkLab, type NetworkLabOptions } from './network-lab.ts';

/** A namespace that looks to its node like a pod of ours: a veth on the node's bridge, an address of its range. */
export interface LabPod {
  readonly namespace: string;
  readonly address: string;
  readonly address6: string;
  readonly agent: NamespaceAgent;
}

export interface PodLab {
  readonly lab: NetworkLab;
  /** Of node i: the node itself. */
  readonly nodes: readonly { readonly host: LabHost; readonly agent: NamespaceAgent }[];
  /** A machine that is no node. */
  readonly outside: NamespaceAgent;
  /** pods[node][index], at 10.244.<node>.<10 + index>. */
  readonly pods: readonly (readonly LabPod[])[];
  destroy(): Promise<void>;
}

export interface PodLabOptions extends NetworkLabOptions {
  /** Whether the way between pods of different nodes is made by the lab, over the first link; false: by what is tested. */
  readonly hasRoutes?: boolean;
}

const sh = (command: string) => execFileSync('sh', ['-euc', command], { stdio: ['ignore', 'ignore', 'inherit'] });

/**
 * Nodes with pods as the CNI bridge plug-in makes them, without containers: what the proxy and policies do to packets is seen by real ones.
 * Pods have IPv6 addresses too (fd00:244:<node>::<10 + index>), nodes fd00:198::<10 + node>.
 */
export function createPodLab(
  name: string,
  podsPerNode: readonly number[],
  { hasRoutes = true, ...links }: PodLabOptions = {},
): PodLab {
  const lab = createNetworkLab(name, podsPerNode.length, links);
  const agents: NamespaceAgent[] = [];
  const namespaces: string[] = [];
  const agentIn = (namespace: string) => {
    const agent = startNamespaceAgent(['nsenter', `--net=/run/netns/${namespace}`, '--']);
    agents.push(agent);
    return agent;
  };
  sh(`ip -n ${lab.hub.namespace} addr add fd00:198::1/64 dev br0 nodad`);
  const pods = podsPerNode.map((count, node) => {
    const { namespace: ns } = lab.nodes[node]!;
    sh(`
      ip -n ${ns} addr add fd00:198::${10 + node}/64 dev eth0 nodad
      ip -n ${ns} -6 route add default via fd00:198::1
      ip -n ${ns} link add coracle0 type bridge
      ip -n ${ns} addr add 10.244.${node}.1/24 dev coracle0
      ip -n ${ns} addr add fd00:244:${node}::1/64 dev coracle0 nodad
      ip -n ${ns} link set coracle0 up
      nsenter --net=/run/netns/${ns} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; for i in 4 6; do f=/proc/sys/net/bridge/bridge-nf-call-ip$([ $i = 4 ] || echo 6)tables; echo 1 > $f; done'
    `);
    // A machine outside finds pods as a router of the network would lead it.
    if (hasRoutes) sh(`ip -n ${lab.hub.namespace} route add 10.244.${node}.0/24 via ${lab.nodes[node]!.address}`);
    podsPerNode.forEach((_, other) => {
      if (other === node || !hasRoutes) return;
      sh(`
        ip -n ${ns} route add 10.244.${other}.0/24 via ${lab.nodes[other]!.address}
        ip -n ${ns} -6 route add fd00:244:${other}::/64 via fd00:198::${10 + other}
      `);
    });
    return Array.from({ length: count }, (_, index): LabPod => {
      const pod = `${labPrefix(name)}-p${node}${index}`;
      const address = `10.244.${node}.${10 + index}`;
      const address6 = `fd00:244:${node}::${10 + index}`;
      namespaces.push(pod);
      sh(`
        ip netns add ${pod}
        ip -n ${pod} link set lo up
        ip -n ${ns} link add p${index} type veth peer name eth0 netns ${pod}
        ip -n ${ns} link set p${index} master coracle0 up
        bridge -n ${ns} link set dev p${index} hairpin on
        ip -n ${pod} addr add ${address}/24 dev eth0
        ip -n ${pod} addr add ${address6}/64 dev eth0 nodad
        ip -n ${pod} link set eth0 up
        ip -n ${pod} route add default via 10.244.${node}.1
        ip -n ${pod} -6 route add default via fd00:244:${node}::1
      `);
      return { namespace: pod, address, address6, agent: agentIn(pod) };
    });
  });
  return {
    lab,
    pods,
    nodes: lab.nodes.map((host) => ({ host, agent: agentIn(host.namespace) })),
    outside: agentIn(lab.hub.namespace),
    async destroy() {
      for (const agent of agents) await agent.stop();
      for (const namespace of namespaces) spawnSync('ip', ['netns', 'del', namespace]);
      lab.destroy();
    },
  };
}
