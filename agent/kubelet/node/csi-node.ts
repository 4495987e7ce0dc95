import type { KubeClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type CSINode, type Node, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError, isAbortError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { CsiDriver, CsiDrivers } from '../volumes/csi/csi-driver.ts';

export interface CsiNodeOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  /** Our Node; its uid is empty until it is registered. */
  readonly node: () => Pick<Node, 'metadata'>;
  readonly clock: Clock;
  readonly log: Logger;
}

type DriverEntry = NonNullable<CSINode['spec']>['drivers'][number];

const ANNOTATION = 'csi.volume.kubernetes.io/nodeid';
const RETRY = { initialMs: 1_000, maxMs: 60_000 } as const;
/** Somebody may have deleted it, or it went with a Node that came again. */
const LOOK_MS = 300_000;
const UNREGISTERED_MS = 1_000;

/** Tells the cluster which CSI drivers this node has: its CSINode, and what drivers want on the Node. Runs until aborted. */
export async function keepCsiNode(options: CsiNodeOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, drivers, node } = options;
  let wake = new AbortController();
  /** Drivers that we have told of: when they go they are taken off again, others' entries stay. */
  const told = new Set<string>();
  let failures = 0;
  drivers.onChange(() => wake.abort());
  while (!signal.aborted) {
    wake = new AbortController();
    let pauseMs = LOOK_MS;
    try {
      if (node().metadata.uid === '') pauseMs = UNREGISTERED_MS;
      else await tell(options, told);
      failures = 0;
    } catch (err) {
      if (isAbortError(err) && signal.aborted) return;
      // Told once: the server may be away for days.
      log[failures === 0 ? 'warn' : 'debug']('the CSI drivers of this node are not told', { err: describeError(err) });
      pauseMs = backoffDelayMs(++failures, RETRY);
    }
    await delay(clock, pauseMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
  }
}

async function tell({ client, nodeName, drivers, node }: CsiNodeOptions, told: Set<string>): Promise<void> {
  const present = drivers.list();
  for (const { name } of present) told.add(name);
  const csiNodes = client.resource<CSINode>(resources.csiNodes);
  const existing = await csiNodes.fetch(nodeName).catch((err: unknown) => {
    if (isNotFound(err)) return undefined;
    throw err;
  });
  if (existing === undefined) {
    const owner = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node().metadata.uid };
    await csiNodes.create({
      metadata: { name: nodeName, ownerReferences: [owner] },
      spec: { drivers: present.map(entryOf) },
    });
  } else {
    const before = existing.spec?.drivers ?? [];
    for (const next of csiDriverSteps(before, present, told))
      await csiNodes.patch({ name: nodeName, type: 'merge', patch: { spec: { drivers: next } } });
  }
  await tellNode(client, nodeName, node(), present);
  for (const name of told) if (!present.some((driver) => driver.name === name)) told.delete(name);
}

/**
 * The lists to write one after the other, none when nothing changes. An entry may come and go but not change, so one that is different
 * goes first. `told` are the drivers that are ours to take off.
 */
export function csiDriverSteps(
  before: readonly DriverEntry[],
  present: readonly CsiDriver[],
  told: ReadonlySet<string>,
): DriverEntry[][] {
  const wanted = new Map(present.map((driver) => [driver.name, entryOf(driver)]));
  const foreign = before.filter(({ name }) => !told.has(name) && !wanted.has(name));
  const same = before.filter((entry) => isSame(entry, wanted.get(entry.name)));
  const kept = [...foreign, ...same];
  const missing = [...wanted.values()].filter(({ name }) => !same.some((entry) => entry.name === name));
  const isReplaced = missing.some(({ name }) => before.some((entry) => entry.name === name));
  if (missing.length === 0) return kept.length === before.length ? [] : [kept];
  return [...(isReplaced ? [kept] : []), [...kept, ...missing]];
}

function entryOf({ name, node: { nodeId, maxVolumes, topology } }: CsiDriver): DriverEntry {
  return {
    name,
    nodeID: nodeId,
    topologyKeys: Object.keys(topology).sort(),
    ...(maxVolumes > 0 ? { allocatable: { count: maxVolumes } } : {}),
  };
}

function isSame(a: DriverEntry, b: DriverEntry | undefined): boolean {
  const facts = ({ name, nodeID, topologyKeys = [], allocatable }: DriverEntry) =>
    JSON.stringify([name, nodeID, [...topologyKeys].sort(), allocatable?.count ?? null]);
  return b !== undefined && facts(a) === facts(b);
}

/** The ids by which drivers know the node, and the labels by which volumes find it. */
async function tellNode(
  client: KubeClient,
  name: string,
  { metadata }: Pick<Node, 'metadata'>,
  present: readonly CsiDriver[],
): Promise<void> {
  const ids = Object.fromEntries(present.map((driver) => [driver.name, driver.node.nodeId]));
  const annotation = present.length === 0 ? null : JSON.stringify(ids);
  const labels = Object.assign({}, ...present.map((driver) => driver.node.topology)) as Record<string, string>;
  const isTold =
    (metadata.annotations?.[ANNOTATION] ?? null) === annotation &&
    Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value);
  if (isTold) return;
  const patch = { metadata: { annotations: { [ANNOTATION]: annotation }, labels } };
  await client.resource<Node>(resources.nodes).patch({ name, type: 'merge', patch });
}
