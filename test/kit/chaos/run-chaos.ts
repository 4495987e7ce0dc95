import type { KubeClient } from '#api/client/client.ts';
import { createHttpTransport, type HttpTransport } from '#api/client/http-transport.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import type { KubeconfigAccess } from '#api/client/kubeconfig.ts';
import { isAlreadyExists } from '#api/object/api-error.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { seededRandom } from '#base/seeded-random.ts';
import type { ControlPlane } from '../control-plane.ts';
import { checkHistory, type HistoryVerdict } from '../history/check-history.ts';
import { Connection, ResumingWatcher } from '../resuming-watcher.ts';
import { waitUntil } from '../wait-until.ts';
import { agreement, type Listed } from './agreement.ts';
import { observeLeadership } from './leadership.ts';
import { COLLECTION, startLoad } from './load.ts';

export interface ChaosOptions {
  readonly plane: ControlPlane;
  readonly seed: number;
  readonly clients: number;
  readonly keys: number;
  readonly watchers: number;
  readonly hasStaleReaders?: boolean;
  /** What happens under the load, which ends with it: each blow by its name. */
  readonly disturb: (strike: (name: string, blow: () => Promise<void>) => Promise<void>) => Promise<void>;
}

export interface ChaosReport {
  readonly operations: number;
  readonly unknown: number;
  readonly statuses: Readonly<Record<number, number>>;
  /** Names of the processes in the order in which they were killed. */
  readonly kills: readonly string[];
  readonly verdict: HistoryVerdict;
  readonly surprises: readonly string[];
  /** What watchers saw that cannot be, or did not see. */
  readonly watchProblems: readonly string[];
  readonly events: number;
  /** Lists beyond each watcher's first. */
  readonly relists: number;
  readonly longestLeadershipGapMs: number;
  readonly leadershipMoves: number;
  /** Of any client. */
  readonly longestSilenceMs: number;
}

interface Victim {
  readonly name: string;
  /** Kills it, lets the others go on without it for a while, and resolves when it is back. */
  strike(downMs: number): Promise<void>;
}

/** A leader that comes back sooner takes its lease up again. */
const LEADER_AWAY_MS = 18_000;

/** Kills any one process at a time, for so long. */
export function killAnyone({ plane, durationMs, seed, longEvery = 0 }: KillOptions): ChaosOptions['disturb'] {
  return async (strike) => {
    const random = seededRandom(seed);
    const victims = victimsOf(plane);
    const endMs = performance.now() + durationMs;
    for (let blow = 1; performance.now() < endMs; blow++) {
      const isLong = longEvery > 0 && blow % longEvery === 0;
      const among = isLong ? plane.controllers.length : victims.length;
      const victim = victims[Math.floor(random() * among)]!;
      await strike(victim.name, () => victim.strike(isLong ? LEADER_AWAY_MS : 300 + random() * 1_500));
      await until(Math.min(endMs, performance.now() + random() * 1_500));
    }
  };
}

interface KillOptions {
  readonly plane: ControlPlane;
  readonly durationMs: number;
  readonly seed: number;
  /** Every so many blows a controller stays away until another one leads; 0: none does. */
  readonly longEvery?: number;
}

/**
 * Load on several API servers over several members of etcd while something happens to them; afterwards everything that clients were told
 * is checked.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { plane, seed } = options;
  const random = seededRandom(seed);
  const accesses = plane.controllers.map(({ access }) => access);
  const transports = Array.from({ length: options.clients }, (_, i) => transportTo(rotate(accesses, i), seed + i));
  const own = transportTo(accesses, seed);
  const client = createKubeClient(own);
  await makeEmptyNamespace(client);
  const stop = new AbortController();
  const watching = startWatchers(options, accesses, stop.signal);
  await waitUntil('every watcher has its list', 20_000, () => watching.watchers.every(({ lists }) => lists === 1));
  const leadership = observeLeadership(client, stop.signal);
  const loadEnd = new AbortController();
  const { keys, hasStaleReaders = false } = options;
  const load = startLoad({ transports, keys, hasStaleReaders, random, signal: loadEnd.signal });

  await waitUntil('every client is at work', 20_000, () => load.history.length > options.clients * 20);
  const kills: string[] = [];
  await options.disturb(async (name, blow) => {
    kills.push(name);
    await blow();
  });
  loadEnd.abort();
  await load.ended;
  const longestLeadershipGapMs = leadership.longestGapMs();

  const { revision } = await agreement(watching.watchers, () => listAll(own));
  stop.abort();
  await watching.end();
  for (const transport of [...transports, own]) transport.close();
  return {
    operations: load.history.length,
    unknown: load.history.filter(({ outcome }) => outcome === 'unknown').length,
    statuses: Object.fromEntries(load.statuses),
    kills,
    verdict: checkHistory(load.history),
    surprises: [...load.surprises],
    watchProblems: judgeWatches(watching.watchers, load.acknowledged, revision),
    events: Math.max(...watching.watchers.map(({ revisions }) => revisions.length)),
    relists: watching.watchers.reduce((sum, { lists }) => sum + lists - 1, 0),
    longestLeadershipGapMs,
    leadershipMoves: leadership.moves(),
    longestSilenceMs: load.longestSilenceMs(),
  };
}

async function makeEmptyNamespace(client: KubeClient): Promise<void> {
  const body = { metadata: { name: 'chaos' } };
  await client.raw({ method: 'POST', path: '/api/v1/namespaces', body }).catch((err: unknown) => {
    if (!isAlreadyExists(err)) throw err;
  });
  await client.raw({ method: 'DELETE', path: COLLECTION });
}

/** The controllers first. */
function victimsOf({ controllers, etcd }: ControlPlane): Victim[] {
  return [
    ...controllers.map((controller, i) => ({
      name: `controller ${i}`,
      async strike(downMs: number) {
        await controller.end('SIGKILL');
        await until(performance.now() + downMs);
        await controller.start();
      },
    })),
    ...etcd.members.map((member, i) => ({
      name: `etcd ${i}`,
      async strike(downMs: number) {
        await member.end('SIGKILL');
        await until(performance.now() + downMs);
        member.start();
        // Fails unless all of them are well.
        await waitUntil('etcd is whole again', 60_000, () => etcd.etcdctl('endpoint', 'health').then(() => true));
      },
    })),
  ];
}

/** The faults have durations of their own; nothing is waited for here. */
const until = (atMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));

const rotate = <T>(values: readonly T[], by: number): T[] => values.map((_, i) => values[(i + by) % values.length]!);

function transportTo(accesses: readonly KubeconfigAccess[], seed: number): HttpTransport {
  const { ca, cert, key } = accesses[0]!;
  return createHttpTransport({
    servers: accesses.map(({ server }) => server),
    ca: ca!,
    cert: cert!,
    key: key!,
    userAgent: 'chaos',
    clock: systemClock,
    log: silentLogger,
    random: seededRandom(seed),
  });
}

interface Watching {
  readonly watchers: readonly ResumingWatcher[];
  end(): Promise<void>;
}

/** Watchers that come back to another server each time. */
function startWatchers(options: ChaosOptions, accesses: readonly KubeconfigAccess[], signal: AbortSignal): Watching {
  const connections = Array.from({ length: Math.ceil(options.watchers / 5) }, (_, first) => {
    let next = first;
    return new Connection({
      get access() {
        return accesses[next++ % accesses.length]!;
      },
    });
  });
  const watchers = Array.from(
    { length: options.watchers },
    (_, i) =>
      new ResumingWatcher({
        path: COLLECTION,
        labelSelector: '',
        connection: connections[i % connections.length]!,
        random: seededRandom(options.seed + 1000 + i),
        maxEventsPerWatch: 2_000,
      }),
  );
  const runs = watchers.map((watcher) => watcher.run(signal));
  return {
    watchers,
    async end() {
      for (const connection of connections) connection.cut();
      await Promise.all(runs);
    },
  };
}

/** Each must have seen, since it listed and up to the end, every revision that any of them saw and every write that was acknowledged. */
function judgeWatches(watchers: readonly ResumingWatcher[], acknowledged: readonly number[], end: number): string[] {
  // What came after the end, some may have seen and others not before they left.
  const all = [...new Set([...acknowledged, ...watchers.flatMap(({ revisions }) => revisions)])].filter(
    (r) => r <= end,
  );
  return watchers.flatMap(({ problems, revisions, listedAt }, i) => {
    const seen = new Set(revisions);
    const missed = all.filter((revision) => revision > listedAt && !seen.has(revision));
    const what = missed.length === 0 ? [] : [`missed ${missed.length} events, the first at ${Math.min(...missed)}`];
    return [...problems, ...what].map((problem) => `watcher ${i}: ${problem}`);
  });
}

async function listAll(transport: HttpTransport): Promise<Listed> {
  const { metadata, items } = await createKubeClient(transport).raw<{
    metadata: { resourceVersion: string };
    items: { metadata: { name: string; resourceVersion: string } }[];
  }>({ method: 'GET', path: COLLECTION });
  const state = new Map(items.map((item) => [item.metadata.name, item.metadata.resourceVersion]));
  return { revision: Number(metadata.resourceVersion), state };
}
