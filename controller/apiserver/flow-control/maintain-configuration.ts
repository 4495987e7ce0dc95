import type { KubeClient } from '#api/client/client.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store, StoredObject } from '../../store/store.ts';
import { mirrorPrefix } from '../authorize/store-mirror.ts';
import type { Configured, FlowSchemaSpec, PriorityLevelSpec } from './configuration.ts';
import { ensureFlowConfiguration } from './ensure-configuration.ts';
import type { FlowController } from './flow-controller.ts';

const LEVEL_PREFIX = '/registry/prioritylevelconfigurations/';
const SCHEMA_PREFIX = '/registry/flowschemas/';

/** Keeps the controller in step with the stored objects; the returned function ends that. */
export function followFlowConfiguration(store: Store, controller: FlowController): () => void {
  const levels = new Map<string, Configured<PriorityLevelSpec>>();
  const schemas = new Map<string, Configured<FlowSchemaSpec>>();
  let isScheduled = false;
  /** Changes of one commit are taken over at once. */
  const schedule = () => {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      controller.configure([...levels.values()], [...schemas.values()]);
    });
  };
  const mirror = <Spec>(prefix: string, into: Map<string, Configured<Spec>>) =>
    mirrorPrefix(store, prefix, {
      onPut(object) {
        const known = into.get(object.key);
        const next = configured<Spec>(object);
        if (next === undefined) return;
        into.set(object.key, next);
        // Their statuses change too, which moves nothing.
        if (known === undefined || known.uid !== next.uid || JSON.stringify(known.spec) !== JSON.stringify(next.spec)) {
          schedule();
        }
      },
      onDelete(object) {
        into.delete(object.key);
        schedule();
      },
      onReset: () => into.clear(),
    });
  const stops = [mirror(LEVEL_PREFIX, levels), mirror(SCHEMA_PREFIX, schemas)];
  return () => {
    for (const stop of stops) stop();
  };
}

function configured<Spec>(object: StoredObject): Configured<Spec> | undefined {
  const { metadata, spec } = object.object() as KubeObject & { readonly spec?: Spec };
  return spec === undefined ? undefined : { name: metadata.name ?? '', uid: metadata.uid ?? '', spec };
}

/** How often the bootstrap objects are looked at, as in Kubernetes; deletions and dangling references are mended then. */
const UPKEEP_MS = 60_000;

export interface UpkeepOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Creates the bootstrap objects and looks after them once a minute until the returned function is called. Nothing waits for the first
 * pass: until it has written them, flow control works by the same values.
 */
export function startFlowConfigurationUpkeep({ client, clock, log }: UpkeepOptions): () => void {
  const stop = new AbortController();
  let cancel: (() => void) | undefined;
  const pass = async (): Promise<void> => {
    try {
      await ensureFlowConfiguration({ client, nowMs: () => clock.now(), signal: stop.signal });
    } catch (err) {
      if (!stop.signal.aborted) log.warn('the configuration of flow control could not be mended', { err });
    }
    if (!stop.signal.aborted) cancel = clock.after(UPKEEP_MS, () => void pass());
  };
  void pass();
  return () => {
    stop.abort();
    cancel?.();
  };
}
