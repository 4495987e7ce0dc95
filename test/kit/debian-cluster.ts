import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { startCluster, type TestCluster } from './cluster.ts';
import { debianTree } from './debian-tree.ts';
import { BUSYBOX_IMAGE, renderBusyboxArchive } from './image-archive.ts';
import { type NamespaceAgent, startNamespaceAgent } from './namespace-agent.ts';
import { labProblem, processesMatching } from './network-lab.ts';
import { type SystemdHost, startSystemdHost, systemdHostProblem } from './systemd-host.ts';

/** A host with Debian 13 that `scripts/up agent` made a node, and a pod there. */
export interface DebianNode {
  readonly nodeName: string;
  readonly host: SystemdHost;
  /** In the network of the host itself. */
  readonly agent: NamespaceAgent;
  /** In the network of the pod `p<index>`. */
  readonly pod: NamespaceAgent;
  readonly podIp: string;
}

export interface DebianCluster {
  readonly cluster: TestCluster;
  readonly nodes: readonly DebianNode[];
  /** A machine that is no node. */
  readonly outside: NamespaceAgent;
  destroy(): Promise<void>;
}

const repository = resolve(import.meta.dirname, '..', '..');
const PROGRAMS = ['mmdebstrap'];

/** Why there are no such hosts here, or undefined where there are. They take minutes, so they must be asked for. */
export function debianClusterProblem(): string | undefined {
  if (process.env.CORACLE_DEBIAN_HOSTS !== '1')
    return 'CORACLE_DEBIAN_HOSTS=1 is not set (10 minutes for all, 90 s more the first time)';
  const missing = PROGRAMS.find((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  return labProblem() ?? systemdHostProblem() ?? (missing === undefined ? undefined : `needs ${missing}`);
}

/** A node for each proxy mode named, in this order, at 198.51.100.20 and on; pods carry the labels `app=web` and `pod=p<index>`. */
export async function startDebianCluster(name: string, proxyModes: readonly string[]): Promise<DebianCluster> {
  const tree = debianTree();
  const cluster = await startCluster({ name, nodes: 0 });
  const undo: (() => Promise<unknown>)[] = [() => cluster.destroy()];
  const destroy = async () => {
    for (const step of undo.toReversed()) await step();
  };
  const agentIn = (enter: readonly string[]) => {
    const agent = startNamespaceAgent(enter);
    undo.push(() => agent.stop());
    return agent;
  };
  try {
    const nodes: DebianNode[] = [];
    for (const [index, mode] of proxyModes.entries()) {
      const host = await startSystemdHost(`${name}${index}-`, {
        tree,
        link: { network: cluster.lab.hub, bridge: 'br0', address: `198.51.100.${20 + index}` },
      });
      undo.push(() => host.stop());
      const nodeName = joinCluster(cluster, host, mode);
      const podIp = await startPod(cluster, nodeName, `p${index}`);
      const [sleeper = 0] = processesMatching(`pod ${cluster.folder} p${index}`);
      nodes.push({
        nodeName,
        host,
        podIp,
        agent: agentIn(['nsenter', '-t', String(host.leader), '-n', '--']),
        pod: agentIn(['nsenter', '-t', String(sleeper), '-n', '--']),
      });
    }
    return { cluster, nodes, outside: agentIn(cluster.lab.hub.enter), destroy };
  } catch (err) {
    await destroy();
    throw err;
  }
}

/** As a user joins a host. Answers the node's name. */
function joinCluster(cluster: TestCluster, host: SystemdHost, proxyMode: string): string {
  const [enter = '', ...rest] = cluster.lab.hub.enter;
  const told = execFileSync(enter, [...rest, `${repository}/bin/coracle`, 'token', 'create'], {
    encoding: 'utf8',
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
  });
  const flags = /--servers.*--token \S+/.exec(told)?.[0] ?? '';
  host.ok(`cd / && ${repository}/scripts/up agent ${flags}`, 200_000);
  host.ok(`echo 'proxyMode: ${proxyMode}' >>/etc/coracle/agent.yaml && systemctl restart coracle-agent`);
  writeFileSync(`/proc/${host.leader}/root/run/image.tar`, renderBusyboxArchive());
  host.ok('ctr --address /run/coracle/containerd.sock -n k8s.io images import --no-unpack /run/image.tar');
  return host.ok('hostname').trim();
}

/** Answers its address. What it serves is up to the test. */
async function startPod(cluster: TestCluster, nodeName: string, name: string): Promise<string> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'web', pod: name } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: BUSYBOX_IMAGE,
          command: ['sh', '-c', `: pod ${cluster.folder} ${name}; while sleep 1000; do :; done`],
        },
      ],
    },
  };
  await cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify(pod) });
  await cluster.kubectlOk(['wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s']);
  return cluster.kubectlOk(['get', 'pod', name, '-o', 'jsonpath={.status.podIP}']);
}
