import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { type ChosenBackend, chooseBackend } from '#agent/proxy/choose-backend.ts';
import { createProxier } from '#agent/proxy/proxier.ts';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { DialRecord } from '#test/kit/namespace-agent.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`endpoints that come and go skipped: ${problem}`);

const SECONDS = Number(process.env.CORACLE_CHURN_SECONDS ?? 4);
const CONNECTIONS_PER_SECOND = 200;
const CHANGES_PER_SECOND = 50;
/** A lost first packet is sent again after a second: it counts as a failure. */
const TIMEOUT_MS = 1_000;
const PODS = 24;
const MIN_READY = 6;
/** A pod that is no longer an endpoint takes connections for this long, as one with a `preStop` sleep does; then, once the kernel knows, it is deaf. */
const GRACE_MS = 1_500;
/**
 * From the change of an EndpointSlice to the kernel; what comes later than this is a reply of a pod that should get nothing any more. It is
 * tens of milliseconds on a machine of its own; a sync that waited for a timer would take longer than this.
 */
const MAX_LAG_MS = 5_000;
/** So few changes would prove nothing. A slow machine does not make as many as are asked for. */
const MIN_CHANGES = 40;
const SERVICE_IP = '10.96.0.20';

/** When each pod was an endpoint, in epoch milliseconds. */
class ReadySet {
  readonly #spans = new Map<string, { readonly fromMs: number; untilMs: number }[]>();
  readonly ready = new Set<number>();

  add(pod: number): void {
    this.ready.add(pod);
    const spans = this.#spans.get(nameOf(pod)) ?? [];
    spans.push({ fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY });
    this.#spans.set(nameOf(pod), spans);
  }

  remove(pod: number): void {
    this.ready.delete(pod);
    const span = this.#spans.get(nameOf(pod))?.at(-1);
    if (span !== undefined) span.untilMs = Date.now();
  }

  /** How long before the connection began this pod had left; 0 when it was an endpoint while it lasted. */
  lagMs(pod: string, { beganMs, endedMs }: DialRecord): number {
    const spans = (this.#spans.get(pod) ?? []).filter(({ fromMs }) => fromMs <= endedMs);
    return Math.min(...spans.map(({ untilMs }) => Math.max(0, beganMs - untilMs)));
  }
}

const nameOf = (pod: number) => `pod${pod}`;
const addressOf = (pod: number) => `10.244.1.${100 + pod}`;

describe.skipIf(problem !== undefined).each(['iptables', 'nftables'] as const)(
  'endpoints come and go under %s',
  (mode) => {
    let lab: PodLab;
    let backend: ChosenBackend;

    beforeAll(async () => {
      lab = createPodLab(`ch${mode.slice(0, 1)}`, [1, 1]);
      const [program, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
      const plain = createExecutor();
      const exec: Executor = {
        ...plain,
        run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options),
      };
      backend = await chooseBackend(mode, {
        exec,
        log: silentLogger,
        clusterCidrs: { IPv4: '10.244.0.0/16' },
        nodePortRanges: undefined,
        localhostNodePorts: false,
      });
      const { namespace } = lab.pods[1]![0]!;
      for (let pod = 0; pod < PODS; pod++)
        execFileSync('ip', ['-n', namespace, 'addr', 'add', `${addressOf(pod)}/24`, 'dev', 'eth0']);
    });
    afterAll(() => lab?.destroy());

    it(`no connection of ${CONNECTIONS_PER_SECOND}/s fails during ${CHANGES_PER_SECOND} changes/s, and all reach ready pods`, {
      timeout: 120_000 + SECONDS * 2_000,
    }, async () => {
      const { agent } = lab.pods[1]![0]!;
      const set = new ReadySet();
      for (let pod = 0; pod < PODS; pod++) await agent.serve(nameOf(pod), 8080, { host: addressOf(pod) });
      for (let pod = 0; pod < MIN_READY * 2; pod++) set.add(pod);

      const stop = new AbortController();
      const slices = fakeInformer<EndpointSlice>(() => [slice(set.ready)]);
      let syncs = 0;
      const proxier = createProxier({
        nodeName: 'node-0',
        services: fakeInformer<Service>(() => [SERVICE]).informer,
        endpointSlices: slices.informer,
        backend,
        clock: systemClock,
        log: silentLogger,
        onSynced: () => syncs++,
      });
      proxier.start(stop.signal);
      await expect.poll(() => proxier.lastSyncMs).toBeDefined();

      const load = { perSecond: CONNECTIONS_PER_SECOND, seconds: SECONDS, timeoutMs: TIMEOUT_MS };
      let isOver = false;
      const dialled = lab.pods[0]![0]!.agent.dialMany(SERVICE_IP, 80, load).finally(() => (isOver = true));
      const changes = await churn({
        ...{ isOver: () => isOver, syncs: () => syncs, set, agent },
        tell: (now) => slices.update(now),
      });
      const records = await dialled;
      stop.abort();

      const failed = records.filter(({ answer }) => !answer.startsWith('pod'));
      expect(failed).toEqual([]);
      expect(records).toHaveLength(CONNECTIONS_PER_SECOND * SECONDS);
      const lags = records.map((record) => set.lagMs(record.answer.split(' ')[0]!, record));
      const worstMs = Math.max(...lags);
      console.log(
        `${mode}: ${records.length} connections, ${changes} changes in ${syncs} syncs, latest reply of a pod that had left: ${worstMs} ms after it`,
      );
      expect(worstMs).toBeLessThan(MAX_LAG_MS);
      expect(changes).toBeGreaterThan(MIN_CHANGES);
      expect(new Set(records.map(({ answer }) => answer.split(' ')[0])).size).toBeGreaterThan(PODS / 2);
    });
  },
);

interface Churn {
  readonly isOver: () => boolean;
  /** How many syncs have ended. */
  readonly syncs: () => number;
  readonly set: ReadySet;
  readonly agent: PodLab['outside'];
  readonly tell: (slice: EndpointSlice) => void;
}

/** One endpoint after the other joins or leaves, at an even pace. Answers how many did. */
async function churn({ isOver, syncs, set, agent, tell }: Churn): Promise<number> {
  const silencing = new Map<number, Promise<void> | NodeJS.Timeout>();
  const startedMs = performance.now();
  let changes = 0;
  for (let pod = 0; !isOver(); pod = (pod + 7) % PODS) {
    if (set.ready.has(pod)) {
      if (set.ready.size <= MIN_READY) continue;
      set.remove(pod);
      tell(slice(set.ready));
      // One that has begun before may not know of it yet.
      const known = syncs() + 2;
      const silence = () => {
        if (syncs() >= known) silencing.set(pod, agent.unserve(8080, addressOf(pod)));
        else silencing.set(pod, setTimeout(silence, GRACE_MS));
      };
      silencing.set(pod, setTimeout(silence, GRACE_MS));
    } else {
      const before = silencing.get(pod);
      silencing.delete(pod);
      // A pod is told of as ready once it answers.
      if (before instanceof Promise) {
        await before;
        await agent.serve(nameOf(pod), 8080, { host: addressOf(pod) });
      } else clearTimeout(before);
      set.add(pod);
      tell(slice(set.ready));
    }
    changes += 1;
    const aheadMs = (changes * 1000) / CHANGES_PER_SECOND - (performance.now() - startedMs);
    await new Promise((resolve) => (aheadMs > 0 ? setTimeout(resolve, aheadMs) : setImmediate(resolve)));
  }
  for (const timer of silencing.values()) if (!(timer instanceof Promise)) clearTimeout(timer);
  return changes;
}

const metadata = { namespace: 'default', resourceVersion: '1', creationTimestamp: '' };

const SERVICE = {
  metadata: { ...metadata, name: 'web', uid: 'web' },
  spec: { type: 'ClusterIP', clusterIP: SERVICE_IP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
} as unknown as Service;

const slice = (ready: ReadonlySet<number>): EndpointSlice =>
  ({
    addressType: 'IPv4',
    metadata: { ...metadata, name: 'web-x', uid: 'web-x', labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [...ready]
      .sort((a, b) => a - b)
      .map((pod) => ({ addresses: [addressOf(pod)], conditions: { ready: true }, nodeName: 'node-1' })),
  }) as unknown as EndpointSlice;

/** Holds what the test says. */
function fakeInformer<T extends Stored<object>>(
  list: () => T[],
): { readonly informer: Informer<T>; update(next: T): void } {
  const handlers: InformerHandler<T>[] = [];
  const informer = {
    addHandler(handler: InformerHandler<T>) {
      handlers.push(handler);
      for (const item of list()) handler.onAdd?.(item, true);
    },
    waitForSync: async () => {},
    hasSynced: true,
    list,
  } as unknown as Informer<T>;
  return { informer, update: (next) => handlers.forEach((handler) => void handler.onUpdate?.(next, next)) };
}
