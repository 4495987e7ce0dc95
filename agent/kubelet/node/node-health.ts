import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { Host } from '../../host/host.ts';
import { readPodsMemory } from '../cgroups/pods-memory.ts';
import { type Eviction, EvictionManager } from '../eviction/eviction-manager.ts';
import { readNodeSignals } from '../eviction/node-signals.ts';
import { withAllocatable } from '../eviction/thresholds.ts';
import type { UsageReader } from '../eviction/usage-reader.ts';
import { ImageCollector } from '../images/image-collector.ts';
import { formatImageReference, parseImageReference } from '../images/image-reference.ts';
import type { KubeletConfig } from '../kubelet-config.ts';
import { allContainers, ephemeralContainers, specOf } from '../pod-spec.ts';

export interface NodeHealthOptions {
  readonly host: Host;
  readonly runtime: ContainerRuntime;
  readonly config: KubeletConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly recorder: EventRecorder;
  readonly usages: UsageReader;
  /** All pods of this node, and those that are not ending. */
  readonly pods: () => readonly Pod[];
  readonly running: () => readonly Pod[];
  readonly evict: (pod: Pod, eviction: Eviction) => void;
  readonly ended: (pod: Pod) => Promise<void>;
  readonly onImageRemoved: (id: string) => void;
  readonly onImagesListed: (ids: ReadonlySet<string>, atMs: number) => Promise<void>;
  readonly onPressure: () => void;
}

/** As often as Kubernetes looks for images to remove. */
const SWEEP_MS = 300_000;

/** Keeps the node from running full: eviction and image clean-up, put together. */
export class NodeHealth {
  readonly #options: NodeHealthOptions;
  readonly images: ImageCollector;
  readonly eviction: EvictionManager;

  constructor(options: NodeHealthOptions) {
    this.#options = options;
    const { host, runtime, config, clock, log, recorder, usages, pods, running, evict, onPressure } = options;
    const reserved = config.reserved.memoryBytes;
    const subject = { apiVersion: 'v1', kind: 'Node', metadata: { name: config.nodeName, uid: config.nodeName } };
    const tellNode = (reason: string, message: string) => recorder.record(subject, 'Warning', reason, message);
    this.images = new ImageCollector({
      runtime,
      fs: host.fs,
      clock,
      log,
      config: config.imageGc,
      // Beside the ledger: both must be there when the agent starts again.
      usesFile: `${config.ledgerDir}/../images.json`,
      namedBySpecs: () => imageNames(pods()),
      onRemoved: options.onImageRemoved,
      onListed: options.onImagesListed,
      tellNode,
    });
    this.eviction = new EvictionManager({
      config: { ...config.eviction, thresholds: withAllocatable(config.eviction.thresholds, reserved) },
      clock,
      log,
      observe: () =>
        readNodeSignals({
          fs: host.fs,
          nodeFsPath: config.rootDir,
          imageFsPath: () => this.images.mountPoint,
          podsMemory: async () => (reserved === 0 ? undefined : readPodsMemory(host, config.cgroups)),
        }),
      pods: running,
      usages: (of) => usages.read(of),
      reclaimDisk: () => this.images.reclaimAll(),
      evict,
      ended: options.ended,
      tellNode,
      onPressure,
    });
  }

  /** Runs until aborted. */
  start(signal: AbortSignal): void {
    void this.#sweepImages(signal);
    void this.eviction.run(signal);
  }

  async #sweepImages(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.images.sweep();
      } catch (err) {
        log.warn('images could not be looked through', { err: describeError(err) });
      }
      await delay(clock, SWEEP_MS, signal).catch(() => undefined);
    }
  }
}

/** Completed as the runtime lists them. */
function* imageNames(pods: readonly Pod[]): Iterable<string> {
  for (const pod of pods) {
    const volumes = (specOf(pod).volumes ?? []).map(({ image }) => image?.reference);
    const containers = [...allContainers(pod), ...ephemeralContainers(pod)].map(({ image }) => image);
    for (const image of [...containers, ...volumes]) {
      const reference = parseImageReference(image ?? '');
      if (reference !== undefined) yield formatImageReference(reference);
    }
  }
}
