import { readFileSync } from 'node:fs';
import { type ControllerProcess, memoryOf, startControllerProcess } from '#test/kit/controller-process.ts';
import { requestOver } from '#test/kit/https-contract-target.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { connectTo, type LoadResult, request, runLoad } from './http-load.ts';
import { quantile, type Result } from './result.ts';

const NODES = 1_000;
const PODS = 10_000;
const SPARSE_LABEL_VALUES = 100;
const SECONDS = 5;
const WATCHERS = 1_000;
/** Streams of one connection; a server allows few more. */
const WATCHES_PER_CONNECTION = 100;
const CHANGES_PER_SECOND = 100;
/** All watchers take every event; the lag is read by so many of them, or the client would be what is measured. */
const TIMED_WATCHERS = 20;
const EVENTS = 500;
/** Milliseconds of one clock tick of /proc. */
const TICK_MS = 10;

const PODS_PATH = '/api/v1/namespaces/fleet/pods';

/** What ten thousand pods on a thousand nodes cost: memory, lists in all forms, patches, and watches. */
export async function measureFleet(): Promise<Result[]> {
  const controller = await startControllerProcess({ core: 0, flags: ['--node-monitor-grace-seconds', '3600'] });
  try {
    const createRate = await fill(controller);
    const memory = memoryOf(controller.pid);
    return [
      { name: `CREATE ${PODS} pods, 32 at once`, value: createRate, unit: 'req/s' },
      {
        name: `controller: resident memory with ${PODS} pods`,
        value: memory.rssMb,
        unit: 'MB',
        note: `anonymous ${memory.anonymousMb.toFixed(0)} MB`,
      },
      ...(await measureVerbs(controller)),
      ...(await measureAgents(controller)),
      ...(await measureCrowd(controller)),
    ];
  } finally {
    await controller.stop();
  }
}

const podOf = (i: number) => ({
  metadata: {
    name: `pod-${i}`,
    labels: { app: `app-${i % SPARSE_LABEL_VALUES}`, tier: i % 2 === 0 ? 'front' : 'back' },
  },
  spec: { nodeName: `node-${i % NODES}`, schedulerName: 'bench', containers: [{ name: 'main', image: 'main:1' }] },
});

async function fill(controller: ControllerProcess): Promise<number> {
  const session = connectTo(controller);
  const post = (path: string, body: object) => request(session, { method: 'POST', path, body });
  await post('/api/v1/namespaces', { metadata: { name: 'fleet' } });
  await waitUntil('the default ServiceAccount', 20_000, async () => {
    const path = '/api/v1/namespaces/fleet/serviceaccounts/default';
    return (await request(session, { method: 'GET', path })).status === 200;
  });
  await inParallel(NODES, async (i) => {
    await post('/api/v1/nodes', { metadata: { name: `node-${i}` } });
  });
  const startMs = performance.now();
  await inParallel(PODS, async (i) => {
    const { status } = await post(PODS_PATH, podOf(i));
    if (status !== 201) throw new Error(`pod ${i}: ${status}`);
  });
  session.destroy();
  return (PODS / (performance.now() - startMs)) * 1000;
}

async function inParallel(count: number, run: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const MERGE = { 'content-type': 'application/strategic-merge-patch+json' };
const APPLY = { 'content-type': 'application/apply-patch+yaml' };

/** Each form of list and patch on its own, and how long a request that costs nothing waits meanwhile. */
async function measureVerbs(controller: ControllerProcess): Promise<Result[]> {
  const get = (query: string, headers = {}) => ({
    width: 4,
    call: () => ({ method: 'GET' as const, path: PODS_PATH + query, headers }),
  });
  const podName = (i: number) => `pod-${(i * 7_919) % PODS}`;
  const annotate = (i: number) => ({ metadata: { annotations: { bench: String(i) } } });
  const cases = [
    ['LIST limit=500 of 10,000 pods', get('?limit=500')],
    ['LIST of 1 % by an indexed label', get('?labelSelector=app%3Dapp-7&limit=500')],
    ['LIST of half by another label, limit=500', get('?labelSelector=tier%3Dback&limit=500')],
    ['LIST limit=500 as a Table', get('?limit=500', TABLE)],
    ['LIST of all 10,000 pods as a Table', { ...get('', TABLE), width: 1 }],
    ['LIST of all 10,000 pods', { ...get(''), width: 1 }],
    [
      'PATCH (strategic merge) of a pod, durable',
      {
        width: 16,
        call: (i: number) => ({
          method: 'PATCH' as const,
          path: `${PODS_PATH}/${podName(i)}`,
          headers: MERGE,
          body: JSON.stringify(annotate(i)),
        }),
      },
    ],
    [
      'server-side apply of a pod, durable',
      {
        width: 16,
        call: (i: number) => ({
          method: 'PATCH' as const,
          path: `${PODS_PATH}/${podName(i)}?fieldManager=bench&force=true`,
          headers: APPLY,
          body: JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...annotate(i) }),
        }),
      },
    ],
  ] as const;
  const results: Result[] = [];
  for (const [name, load] of cases) {
    const [rates, delaysMs] = await Promise.all([
      runLoad(controller, { ...load, seconds: SECONDS }),
      pingDuring(controller, SECONDS * 1000),
    ]);
    results.push({ name, value: rates.rate, unit: 'req/s', note: noteOf(rates) });
    results.push({
      name: `${name}: p99 of what others wait for`,
      value: quantile(delaysMs, 0.99),
      unit: 'ms',
      note: `median ${quantile(delaysMs, 0.5).toFixed(1)} ms, longest ${Math.max(...delaysMs).toFixed(1)} ms`,
    });
  }
  return results;
}

const noteOf = ({ p50Ms, p99Ms, bytesPerAnswer }: LoadResult) =>
  `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, ${(bytesPerAnswer / 1024).toFixed(0)} KiB an answer`;

/** Milliseconds that `/livez` takes on a connection of its own, one request after the other: the event loop's delay, and little more. */
async function pingDuring(controller: ControllerProcess, durationMs: number): Promise<number[]> {
  const session = connectTo(controller);
  const delaysMs: number[] = [];
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) {
    const sentMs = performance.now();
    await request(session, { method: 'GET', path: '/livez' });
    delaysMs.push(performance.now() - sentMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  session.destroy();
  return delaysMs;
}

interface Watches {
  /** All that came, to whichever of them. */
  events(): number;
  close(): void;
}

/** Opens watches, a hundred to a connection; `onText` sees the first few of them. */
async function openWatches(
  controller: ControllerProcess,
  paths: readonly string[],
  onText: (text: string) => void = () => {},
): Promise<Watches> {
  const sessions = Array.from({ length: Math.ceil(paths.length / WATCHES_PER_CONNECTION) }, () =>
    connectTo(controller),
  );
  let events = 0;
  const open = async (path: string, i: number) => {
    const session = sessions[Math.floor(i / WATCHES_PER_CONNECTION)]!;
    const response = await requestOver(session, { method: 'GET', path });
    if (response.status !== 200) throw new Error(`watch ${path}: ${response.status}`);
    (async () => {
      for await (const chunk of response.chunks) {
        for (const byte of chunk) if (byte === 0x0a) events += 1;
        if (i < TIMED_WATCHERS) onText(Buffer.from(chunk).toString());
      }
    })().catch(() => {});
  };
  await Promise.all(paths.map(open));
  return {
    events: () => events,
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}

/** Processor milliseconds that the process has used so far, all threads together. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** What a change of a pod costs the controller while one agent watches its pods, and while a thousand do. */
async function measureAgents(controller: ControllerProcess): Promise<Result[]> {
  const revision = await newestRevision(controller);
  const pathOf = (i: number) =>
    `/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dnode-${i}&resourceVersion=${revision}`;
  const costs: number[] = [];
  for (const count of [1, NODES]) {
    const watch = await openWatches(
      controller,
      Array.from({ length: count }, (_, i) => pathOf(i)),
    );
    const session = connectTo(controller);
    const change = (i: number) =>
      request(session, {
        method: 'PATCH',
        path: `${PODS_PATH}/pod-${(i * 7_919) % PODS}`,
        headers: MERGE,
        body: JSON.stringify({ metadata: { annotations: { agents: `${count} ${i}` } } }),
      });
    for (let i = 0; i < 50; i++) await change(i);
    const beforeMs = cpuMs(controller.pid);
    for (let i = 0; i < EVENTS; i += 10) await Promise.all(Array.from({ length: 10 }, (_, k) => change(1_000 + i + k)));
    costs.push((cpuMs(controller.pid) - beforeMs) / EVENTS);
    session.destroy();
    watch.close();
  }
  const [one = 0, thousand = 0] = costs;
  return [
    {
      name: `CPU of a change of a pod, ${NODES} agents watching by spec.nodeName`,
      value: thousand,
      unit: 'ms',
      floor: one,
      note: 'beside it: with one agent watching',
    },
  ];
}

async function newestRevision({ client }: ControllerProcess): Promise<string> {
  const list = await client.raw<{ metadata: { resourceVersion: string } }>({
    method: 'GET',
    path: '/api/v1/namespaces?limit=1',
  });
  return list.metadata.resourceVersion;
}

/** A thousand watchers of one collection that changes a hundred times a second. */
async function measureCrowd(controller: ControllerProcess): Promise<Result[]> {
  const path = '/api/v1/namespaces/fleet/configmaps';
  const session = connectTo(controller);
  await request(session, { method: 'POST', path, body: { metadata: { name: 'clock' }, data: { at: '0' } } });
  const revision = await newestRevision(controller);
  const lagsMs: number[] = [];
  const watch = await openWatches(
    controller,
    Array.from({ length: WATCHERS }, () => `${path}?watch=true&resourceVersion=${revision}`),
    (text) => {
      const nowMs = performance.now();
      for (const [, at] of text.matchAll(/"at":"([\d.]+)"/g)) lagsMs.push(nowMs - Number(at));
    },
  );
  const beforeMs = cpuMs(controller.pid);
  const startMs = performance.now();
  const writes: Promise<unknown>[] = [];
  const total = CHANGES_PER_SECOND * SECONDS;
  while (writes.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startMs) / 1000) * CHANGES_PER_SECOND));
    while (writes.length < due) {
      const body = { metadata: { name: 'clock' }, data: { at: performance.now().toFixed(3) } };
      writes.push(request(session, { method: 'PUT', path: `${path}/clock`, body }));
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(writes);
  await waitUntil('every watcher has every event', 60_000, () => watch.events() >= total * WATCHERS);
  const elapsedMs = performance.now() - startMs;
  const cpu = cpuMs(controller.pid) - beforeMs;
  session.destroy();
  watch.close();
  return [
    {
      name: `${WATCHERS} watchers, ${CHANGES_PER_SECOND} changes/s: lag p99`,
      value: quantile(lagsMs, 0.99),
      unit: 'ms',
      note: `p50 ${quantile(lagsMs, 0.5).toFixed(1)} ms; ${Math.round((total * WATCHERS * 1000) / elapsedMs).toLocaleString('en')} events/s delivered, ${((cpu * 1000) / (total * WATCHERS)).toFixed(1)} us of CPU each`,
    },
  ];
}
