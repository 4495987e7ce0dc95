import type { KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type Event, type Lease, type Node, resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { readAdminKubeconfig } from './admin-kubeconfig.ts';
import { fetchServerTimeMs } from './server-time.ts';

export interface NodeFacts {
  readonly nodes: readonly Node[];
  /** Of kube-node-lease. */
  readonly leases: readonly Lease[];
  /** Those with reason IdentityCopied. */
  readonly copies: readonly Event[];
  readonly serverMs: number;
  readonly localMs: number;
}

/** A node tells the time every ten seconds; more than this is a clock that is wrong. */
const CLOCK_TOLERANCE_MS = 60_000;

const seconds = (ms: number): string => `${Math.abs(Math.round(ms / 1000))} s ${ms < 0 ? 'behind' : 'ahead of'}`;

/** One line for each thing that is wrong, the node's name first. Pure. */
export function nodeFindings({ nodes, leases, copies, serverMs, localMs }: NodeFacts): string[] {
  const findings = nodes.flatMap((node) => {
    const { name } = node.metadata;
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
    const lines: string[] = [];
    if (ready?.status !== 'True')
      lines.push(
        `${name}: not ready since ${ready?.lastTransitionTime ?? 'it joined'}: ${ready?.message ?? 'it has not told how it is'}`,
      );
    const copy = copies.find(({ involvedObject }) => involvedObject.name === name);
    if (copy !== undefined) lines.push(`${name}: ${copy.message} (last seen ${copy.lastTimestamp ?? copy.eventTime})`);
    const toldMs = Date.parse(leases.find(({ metadata }) => metadata.name === name)?.spec?.renewTime ?? '');
    const aheadMs = toldMs - serverMs;
    if (ready?.status === 'True' && Math.abs(aheadMs) > CLOCK_TOLERANCE_MS)
      lines.push(`${name}: its clock is ${seconds(aheadMs)} that of the controller: set it, by NTP for example`);
    return lines;
  });
  const ownAheadMs = localMs - serverMs;
  if (Math.abs(ownAheadMs) > CLOCK_TOLERANCE_MS)
    findings.push(`this host: its clock is ${seconds(ownAheadMs)} the time that the controller believes`);
  return findings;
}

const describeSound = (nodes: number): string =>
  nodes === 1 ? '1 node: nothing is wrong with it' : `${nodes} nodes: nothing is wrong with them`;

/** `coracle doctor nodes`: prints what is wrong with the nodes; answers the exit code, 1 where something is. */
export async function examineNodes(kubeconfigPath: string): Promise<number> {
  const transport = createKubeconfigTransport(parseKubeconfig(readAdminKubeconfig(kubeconfigPath)), 'coracle-doctor');
  try {
    const facts = await readFacts(createKubeClient(transport));
    const findings = nodeFindings(facts);
    for (const line of findings) console.log(line);
    if (findings.length === 0) console.log(describeSound(facts.nodes.length));
    return findings.length === 0 ? 0 : 1;
  } finally {
    transport.close();
  }
}

async function readFacts(client: KubeClient): Promise<NodeFacts> {
  const [nodes, leases, copies, serverMs] = await Promise.all([
    client.resource<Node>(resources.nodes).fetchList({}),
    client.resource<Lease>(resources.leases).fetchList({ namespace: 'kube-node-lease' }),
    client.resource<Event>(resources.events).fetchList({ fieldSelector: 'reason=IdentityCopied' }),
    fetchServerTimeMs(client),
  ]);
  const localMs = systemClock.now();
  return { nodes: nodes.items, leases: leases.items, copies: copies.items, serverMs: serverMs ?? localMs, localMs };
}
