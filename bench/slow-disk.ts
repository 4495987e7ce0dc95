import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pod, resources } from '#api/object/kinds.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { requestOver } from '#test/kit/https-contract-target.ts';
import { slowDownDisk } from '#test/kit/slow-disk.ts';
import { type TokenUser, tokenUser } from '#test/kit/token-user.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { connectTo } from './http-load.ts';
import { quantile, type Result } from './result.ts';
import { countReady, startSimulatedNodes } from './simulated-nodes.ts';

const PHASES: readonly { readonly delayMs: number; readonly seconds: number }[] = JSON.parse(
  process.env.BENCH_SLOW_DISK ??
    '[{"delayMs":0,"seconds":60},{"delayMs":50,"seconds":60},{"delayMs":1000,"seconds":60},{"delayMs":30000,"seconds":300}]',
);
const NODES = 3;
const OBJECTS = 500;
const WRITES_PER_SECOND = 50;
const GETS_PER_SECOND = 50;
const LISTS_PER_SECOND = 2;
const BEATS_PER_SECOND = 10;
/** How much slower readers may be than on a good disk. */
const TOLERANCE = 1.2;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

/** Readers, a watch and heartbeats beside writers, while the fsyncs of a real controller take longer and longer. */
export async function measureSlowDisk(): Promise<Result[]> {
  const controller = await startControllerProcess();
  const fleet = await startSimulatedNodes(controller, NODES);
  try {
    const load = await prepareLoad(controller);
    const results: Result[] = [];
    let normal: Measured | undefined;
    for (const { delayMs, seconds } of PHASES) {
      const disk = delayMs === 0 ? undefined : await slowDownDisk(controller.pid, delayMs);
      let measured: Measured;
      let readyz: string;
      try {
        measured = await load.run(seconds * 1000);
        readyz = await readinessOf(controller);
      } finally {
        await disk?.stop();
      }
      normal ??= measured;
      results.push(...resultsOf(delayMs, measured, normal, readyz));
    }
    await load.close();
    results.push(...(await lossesOf(controller)));
    return results;
  } finally {
    fleet.stop();
    await controller.stop();
  }
}

interface Measured {
  readonly getMs: readonly number[];
  readonly listMs: readonly number[];
  readonly watchLagMs: readonly number[];
  /** Answers to writes, by status; those that were still on their way at the end: `pending`. */
  readonly writes: Readonly<Record<string, number>>;
  /** Refusals that do not say when to come back. */
  readonly withoutRetryAfter: number;
  readonly mostPending: number;
  readonly readyNodes: number;
}

interface Load {
  run(durationMs: number): Promise<Measured>;
  close(): Promise<void>;
}

/** Two users, neither of whom is exempt from priority and fairness. */
async function prepareLoad(controller: ControllerProcess): Promise<Load> {
  const reader = await tokenUser(controller, 'reader');
  const writer = await tokenUser(controller, 'writer', 16);
  for (let i = 0; i < OBJECTS; i++)
    await writer.send('POST', CONFIG_MAPS, { metadata: { name: `object-${i}` }, data: { text: 'x'.repeat(512) } });
  await reader.send('POST', LEASES, {
    metadata: { name: 'pulse' },
    spec: { holderIdentity: 'bench', leaseDurationSeconds: 40 },
  });
  const pod = {
    metadata: { name: 'bystander' },
    spec: { containers: [{ name: 'main', image: 'docker.io/library/app:1' }] },
  };
  await writer.send('POST', '/api/v1/namespaces/default/pods', pod);
  await waitUntil('the pod runs', 60_000, async () => (await podOf(controller)).status?.phase === 'Running');
  return {
    run: (durationMs) => runLoad({ controller, reader, writer, durationMs }),
    async close() {
      // All that waits gets its answer.
      await waitUntil('a write is answered', 90_000, async () => (await patch(writer, 0, 'end')).status === 200);
      reader.close();
      writer.close();
    },
  };
}

const patch = (writer: TokenUser, i: number, text: string) =>
  writer.send('PATCH', `${CONFIG_MAPS}/object-${i % OBJECTS}`, { data: { text } });

interface RunOptions {
  readonly controller: ControllerProcess;
  readonly reader: TokenUser;
  readonly writer: TokenUser;
  readonly durationMs: number;
}

/** Everybody begins on time, whether or not what came before is answered: an open loop. */
async function runLoad({ controller, reader, writer, durationMs }: RunOptions): Promise<Measured> {
  const getMs: number[] = [];
  const listMs: number[] = [];
  const writes: Record<string, number> = {};
  let [pending, mostPending, withoutRetryAfter] = [0, 0, 0];
  const lags = await watchBeats(controller);
  const timed = async (into: number[], path: string) => {
    const fromMs = performance.now();
    const { status } = await reader.send('GET', path);
    if (status !== 200) throw new Error(`GET ${path}: ${status}`);
    into.push(performance.now() - fromMs);
  };
  const write = async (i: number) => {
    pending += 1;
    mostPending = Math.max(mostPending, pending);
    const { status, retryAfter } = await patch(writer, i, `${performance.now()}`).catch(() => ({
      status: 0,
      retryAfter: '',
    }));
    pending -= 1;
    writes[status] = (writes[status] ?? 0) + 1;
    if ((status === 429 || status === 503) && retryAfter === undefined) withoutRetryAfter += 1;
  };
  const beat = async () => {
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    lags.sent.set(renewTime, performance.now());
    await reader.send('PATCH', `${LEASES}/pulse`, { spec: { renewTime } });
  };
  let readyNodes = NODES;
  const failures: unknown[] = [];
  const every = (perSecond: number, act: (i: number) => Promise<unknown>) => {
    let i = 0;
    return setInterval(() => void act(i++).catch((err: unknown) => failures.push(err)), 1000 / perSecond);
  };
  const timers = [
    every(GETS_PER_SECOND, (i) => timed(getMs, `${CONFIG_MAPS}/object-${(i * 7) % OBJECTS}`)),
    every(LISTS_PER_SECOND, () => timed(listMs, `${CONFIG_MAPS}?limit=${OBJECTS}`)),
    every(WRITES_PER_SECOND, write),
    every(BEATS_PER_SECOND, beat),
    every(1, async () => {
      readyNodes = Math.min(readyNodes, await countReady(controller));
    }),
  ];
  await sleep(durationMs);
  for (const timer of timers) clearInterval(timer);
  await sleep(1_000);
  lags.stop();
  if (failures.length > 0) throw new Error(`${failures.length} readers failed`, { cause: failures[0] });
  return {
    getMs,
    listMs,
    watchLagMs: lags.ms,
    writes: { ...writes, pending },
    withoutRetryAfter,
    mostPending,
    readyNodes,
  };
}

/** From the moment that a heartbeat is sent until a watch sees it. */
async function watchBeats(controller: ControllerProcess) {
  const session = connectTo(controller);
  const sent = new Map<string, number>();
  const ms: number[] = [];
  const path = `${LEASES}?watch=true&fieldSelector=metadata.name%3Dpulse`;
  const { chunks } = await requestOver(session, { method: 'GET', path });
  (async () => {
    for await (const chunk of chunks) {
      const nowMs = performance.now();
      for (const [, time] of Buffer.from(chunk)
        .toString()
        .matchAll(/"renewTime":"([^"]+)"/g)) {
        const atMs = sent.get(time!);
        if (atMs !== undefined) ms.push(nowMs - atMs);
        sent.delete(time!);
      }
    }
  })().catch(() => {});
  return { sent, ms, stop: () => session.destroy() };
}

/** What `/readyz?verbose` says of the disk. */
async function readinessOf(controller: ControllerProcess): Promise<string> {
  const session = connectTo(controller);
  const { chunks } = await requestOver(session, { method: 'GET', path: '/readyz?verbose' });
  const lines = (await text(chunks)).split('\n');
  session.destroy();
  return lines.find((line) => line.includes('coracle-disk-latency')) ?? 'no condition';
}

function resultsOf(delayMs: number, measured: Measured, normal: Measured, readyz: string): Result[] {
  const name = delayMs === 0 ? 'fsyncs as they are' : `every fsync ${delayMs} ms late`;
  const lines = [
    ['GET', measured.getMs, normal.getMs],
    ['LIST', measured.listMs, normal.listMs],
    ['WATCH', measured.watchLagMs, normal.watchLagMs],
  ] as const;
  const { writes, withoutRetryAfter, mostPending, readyNodes } = measured;
  const answers = Object.entries(writes)
    .map(([status, count]) => `${count} ${status}`)
    .join(', ');
  return [
    ...lines.map(([what, ms, before]) => ({
      name: `slow disk, ${name}: ${what} p99`,
      value: quantile(ms, 0.99),
      unit: 'ms',
      ...(delayMs === 0 ? {} : { goal: { value: TOLERANCE * quantile(before, 0.99), better: 'lower' as const } }),
      note: `${ms.length} times, p50 ${quantile(ms, 0.5).toFixed(1)} ms, longest ${Math.max(...ms).toFixed(0)} ms`,
    })),
    {
      name: `slow disk, ${name}: nodes that were not ready`,
      value: NODES - readyNodes,
      unit: 'nodes',
      goal: { value: 0, better: 'lower' },
      note: `writes: ${answers}; at most ${mostPending} at once, ${withoutRetryAfter} refusals without Retry-After; ${readyz}`,
    },
  ];
}

const podOf = ({ client }: ControllerProcess) => client.resource<Pod>(resources.pods).fetch('bystander', 'default');

async function lossesOf(controller: ControllerProcess): Promise<Result[]> {
  const goal = { value: 0, better: 'lower' } as const;
  const pod = await podOf(controller);
  const restarts = pod.status?.containerStatuses?.[0]?.restartCount ?? Number.NaN;
  return [{ name: 'slow disk: restarts of a pod, and exits of the controller', value: restarts, unit: 'times', goal }];
}
