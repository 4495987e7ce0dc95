import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { liveSandbox, newestInstance, type ObservedContainer, type ObservedPod } from '../observed-pod.ts';
import type { PodEvents } from '../pod-events.ts';
import { allContainers, isHostNetwork, type PodUid, roleOf, uidOf } from '../pod-spec.ts';
import { type ProbeDeps, type ProbeKind, type ProbeOutcome, ProbeWorker } from './probe-worker.ts';

export interface ProbeManagerOptions extends ProbeDeps {
  readonly events: PodEvents;
  readonly hostIps: readonly string[];
  /** A verdict of this pod turned over. */
  readonly onChange: (uid: PodUid) => void;
}

/** What is known of one container by its probes; a probe that is not defined has passed. */
interface Probed {
  readonly workers: Map<ProbeKind, ProbeWorker>;
  readonly verdicts: Map<ProbeKind, boolean>;
}

/** How often a probe of a container ended how, since the container or the agent started. */
export interface ProbeCount {
  readonly labels: Readonly<Record<string, string>>;
  readonly count: number;
}

export interface PodVerdicts {
  /** Container ids. */
  readonly ready: ReadonlySet<string>;
  readonly started: ReadonlySet<string>;
  readonly livenessFailed: ReadonlySet<string>;
  readonly startupFailed: ReadonlySet<string>;
}

const KINDS = ['startup', 'liveness', 'readiness'] as const;
const TITLE = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' } as const;

/** Runs the probes of all running containers and answers for their verdicts. */
export class ProbeManager {
  readonly #options: ProbeManagerOptions;
  readonly #pods = new Map<PodUid, Map<string, Probed>>();
  /** By pod and labels. */
  readonly #counts = new Map<PodUid, Map<string, { labels: Readonly<Record<string, string>>; count: number }>>();

  constructor(options: ProbeManagerOptions) {
    this.#options = options;
  }

  /** Starts probes of containers that run, stops those of containers that do not, and says how all stand. */
  sync(pod: Pod, observed: ObservedPod): PodVerdicts {
    const uid = uidOf(pod);
    const known = this.#pods.get(uid) ?? new Map<string, Probed>();
    this.#pods.set(uid, known);
    const running = allContainers(pod).flatMap((container) => {
      const instance = newestInstance(observed, container.name);
      return instance?.state === 'RUNNING' ? [{ container, instance }] : [];
    });
    const ids = new Set(running.map(({ instance }) => instance.id));
    for (const [id, probed] of known) {
      if (ids.has(id)) continue;
      for (const worker of probed.workers.values()) worker.stop();
      known.delete(id);
    }
    for (const { container, instance } of running)
      if (!known.has(instance.id)) known.set(instance.id, this.#begin(pod, observed, container, instance));
    return verdictsOf(running, known);
  }

  /** Readiness goes on while a pod ends; liveness and startup would only get in the way. */
  stopRestarting(uid: PodUid): void {
    for (const { workers } of this.#pods.get(uid)?.values() ?? []) {
      workers.get('liveness')?.stop();
      workers.get('startup')?.stop();
    }
  }

  /** The agent ends. */
  stopAll(): void {
    for (const uid of [...this.#pods.keys()]) this.forget(uid);
  }

  forget(uid: PodUid): void {
    for (const { workers } of this.#pods.get(uid)?.values() ?? []) for (const worker of workers.values()) worker.stop();
    this.#pods.delete(uid);
    this.#counts.delete(uid);
  }

  counts(): ProbeCount[] {
    return [...this.#counts.values()].flatMap((counts) => [...counts.values()]);
  }

  #count(pod: Pod, container: string, kind: ProbeKind, result: ProbeOutcome): void {
    const { name, namespace = '', uid } = pod.metadata;
    const counts = this.#counts.get(uidOf(pod)) ?? new Map();
    this.#counts.set(uidOf(pod), counts);
    const labels = { container, namespace, pod: name, pod_uid: uid, probe_type: TITLE[kind], result };
    const key = `${container} ${kind} ${result}`;
    counts.set(key, { labels, count: (counts.get(key)?.count ?? 0) + 1 });
  }

  #begin(pod: Pod, observed: ObservedPod, container: IContainer, instance: ObservedContainer): Probed {
    const probed: Probed = { workers: new Map(), verdicts: new Map() };
    if (roleOf(pod, container.name) === 'init') return probed;
    const { hostIps, events, onChange } = this.#options;
    const podIp = (isHostNetwork(pod) ? hostIps[0] : liveSandbox(observed)?.ips[0]) ?? '127.0.0.1';
    const before = statusBefore(pod, instance);
    for (const kind of KINDS) {
      const probe = container[`${kind}Probe`];
      if (probe === undefined) continue;
      const initial = initialVerdict(kind, before);
      if (initial !== undefined) probed.verdicts.set(kind, initial);
      if (kind === 'startup' && initial === true) continue;
      const { startedAtMs, id: containerId } = instance;
      const tell = (what: string) =>
        events.container(pod, container.name, 'Warning', 'Unhealthy', `${TITLE[kind]} probe ${what}`);
      const worker = new ProbeWorker(
        { kind, probe, container, containerId, podIp, startedAtMs },
        this.#options,
        {
          isDue: () =>
            kind === 'startup' || container.startupProbe === undefined || probed.verdicts.get('startup') === true,
          onResult: (result) => this.#count(pod, container.name, kind, result),
          onFailure: (message) => tell(`failed: ${message}`),
          onError: (message) => tell(`errored and resulted in unknown state: ${message}`),
          onVerdict: (ok) => {
            probed.verdicts.set(kind, ok);
            if (kind === 'startup' && ok) {
              probed.workers.get('startup')?.stop();
              probed.workers.get('readiness')?.hurry();
              probed.workers.get('liveness')?.hurry();
            }
            onChange(uidOf(pod));
          },
        },
        initial,
      );
      probed.workers.set(kind, worker);
    }
    for (const worker of probed.workers.values()) worker.start();
    return probed;
  }
}

/** What the API says of this very instance, from before the agent was restarted. */
function statusBefore(pod: Pod, instance: ObservedContainer): { ready: boolean; started: boolean } | undefined {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const status = statuses.find(({ containerID }) => containerID?.endsWith(`//${instance.id}`));
  return status === undefined ? undefined : { ready: status.ready, started: status.started === true };
}

/** A restart of the agent must not make a ready pod unready, nor probe for startup what has long started. */
function initialVerdict(
  kind: ProbeKind,
  before: { ready: boolean; started: boolean } | undefined,
): boolean | undefined {
  if (kind === 'readiness') return before?.ready === true;
  if (kind === 'startup') return before?.started === true ? true : undefined;
  return undefined;
}

function verdictsOf(
  running: readonly { readonly container: IContainer; readonly instance: ObservedContainer }[],
  known: ReadonlyMap<string, Probed>,
): PodVerdicts {
  const ready = new Set<string>();
  const started = new Set<string>();
  const livenessFailed = new Set<string>();
  const startupFailed = new Set<string>();
  for (const { container, instance } of running) {
    const verdicts = known.get(instance.id)?.verdicts;
    const hasStarted = container.startupProbe === undefined || verdicts?.get('startup') === true;
    if (hasStarted) started.add(instance.id);
    if (hasStarted && (container.readinessProbe === undefined || verdicts?.get('readiness') === true))
      ready.add(instance.id);
    if (verdicts?.get('liveness') === false) livenessFailed.add(instance.id);
    if (verdicts?.get('startup') === false) startupFailed.add(instance.id);
  }
  return { ready, started, livenessFailed, startupFailed };
}
