import { fetchDiscovery } from '#api/client/discovery-client.ts';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import { evaluatorFor, type GroupResource } from '#api/quota/evaluators.ts';
import type { ControllerContext } from '../controller-context.ts';
import { isPodTerminal } from '../pod-state.ts';

type Counted = Informer<Stored<object>>;

/** Kinds of which more counts than that they are there. */
const WHOLE = [resources.pods, resources.services, resources.persistentVolumeClaims];

/** What quotas count: a watch per kind that some quota speaks of, begun when the first one does. */
export class CountedObjects {
  readonly #context: ControllerContext;
  /** Something of this namespace takes less than before. */
  readonly #onFreed: (namespace: string) => void;
  readonly #informers = new Map<string, Promise<Counted | undefined>>();

  constructor(context: ControllerContext, onFreed: (namespace: string) => void) {
    this.#context = context;
    this.#onFreed = onFreed;
  }

  /** All objects of the namespace; none of a kind that nobody serves. */
  async list(kind: GroupResource, namespace: string, signal: AbortSignal): Promise<readonly KubeObject[]> {
    const key = `${kind.resource}.${kind.group}`;
    let found = this.#informers.get(key);
    if (found === undefined) {
      found = this.#begin(kind, signal);
      this.#informers.set(key, found);
      // A kind that is not there yet may be served later.
      const forget = () => this.#informers.delete(key);
      found.then((informer) => informer ?? forget(), forget);
    }
    const informer = await found;
    await informer?.waitForSync(signal);
    return (informer?.list(namespace) ?? []) as unknown as readonly KubeObject[];
  }

  async #begin(kind: GroupResource, signal: AbortSignal): Promise<Counted | undefined> {
    const { informers, client } = this.#context;
    const whole = WHOLE.find(({ group, resource }) => group === kind.group && resource === kind.resource);
    if (whole !== undefined) return this.#watch(informers.informer(whole), kind);
    const { resources: served } = await fetchDiscovery(client, signal);
    const info = served.find(
      ({ group, resource, namespaced, verbs }) =>
        group === kind.group && resource === kind.resource && namespaced && verbs.includes('watch'),
    );
    return info === undefined ? undefined : this.#watch(informers.metadataInformer(info) as unknown as Counted, kind);
  }

  #watch(informer: Counted, kind: GroupResource): Counted {
    const freed = ({ metadata }: Stored<object>) => this.#onFreed(metadata.namespace ?? '');
    const canShrink = evaluatorFor(kind).chargesUpdate !== undefined;
    const handler: InformerHandler<Stored<object>> = {
      onDelete: freed,
      ...(canShrink && {
        onUpdate: (before: Stored<object>, after: Stored<object>) => {
          if (kind.resource !== 'pods' || isFreedBy(before as Pod, after as Pod)) freed(after);
        },
      }),
    };
    informer.addHandler(handler);
    return informer;
  }
}

/** Pods change all the time: what matters is that one comes to its end, or is resized. */
const isFreedBy = (before: Pod, after: Pod): boolean =>
  isPodTerminal(before) !== isPodTerminal(after) || before.metadata.generation !== after.metadata.generation;
