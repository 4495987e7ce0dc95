import { fetchDiscovery } from '#api/client/discovery-client.ts';
import type { Informer } from '#api/client/informer.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import { type Deployment, type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import type { ControllerContext } from '../controller-context.ts';
import { controllerOf } from '../controller-ref.ts';

type ControllerRef = NonNullable<ReturnType<typeof controllerOf>>;

interface Scale {
  readonly metadata: { readonly uid?: string };
  readonly spec?: { readonly replicas?: number };
}

/** Somebody wants so many replicas. */
interface Wish {
  readonly uid: string;
  readonly replicas: number;
}

export interface ExpectedScale {
  readonly replicas: number;
  /** Names of pods that no controller stands for. */
  readonly unmanaged: readonly string[];
}

/** How many replicas the controllers of some pods want: of any kind that has a scale. */
export class ScaleFinder {
  readonly #context: ControllerContext;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #deployments: Informer<Deployment>;
  /** By `apiVersion/kind`; what is not found is looked for again. */
  readonly #kinds = new Map<string, ResourceInfo>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#replicaSets = context.informers.informer<ReplicaSet>(resources.replicaSets);
    this.#deployments = context.informers.informer<Deployment>(resources.deployments);
  }

  get caches(): readonly Informer<never>[] {
    return [this.#replicaSets, this.#deployments] as unknown as readonly Informer<never>[];
  }

  /** Throws where a controller has no scale: then nobody can say what a share of it is. */
  async sum(pods: readonly Pod[], signal: AbortSignal): Promise<ExpectedScale> {
    const asked = new Set<string>();
    const wishes = new Map<string, number>();
    const unmanaged: string[] = [];
    for (const pod of pods) {
      const ref = controllerOf(pod);
      if (ref === undefined) unmanaged.push(pod.metadata.name);
      if (ref === undefined || asked.has(ref.uid)) continue;
      asked.add(ref.uid);
      const wish = await this.#wishOf(ref, pod.metadata.namespace ?? '', signal);
      if (wish === undefined) throw new Error(`found no controllers for pod ${JSON.stringify(pod.metadata.name)}`);
      wishes.set(wish.uid, wish.replicas);
    }
    return { replicas: [...wishes.values()].reduce((sum, replicas) => sum + replicas, 0), unmanaged };
  }

  async #wishOf(ref: ControllerRef, namespace: string, signal: AbortSignal): Promise<Wish | undefined> {
    if (ref.kind !== 'ReplicaSet' || ref.apiVersion !== 'apps/v1') return this.#scaleOf(ref, namespace, signal);
    const replicaSet = this.#replicaSets.byKey(objectKey(namespace, ref.name));
    if (replicaSet?.metadata.uid !== ref.uid) return undefined;
    const owner = controllerOf(replicaSet);
    // While a Deployment rolls out, its ReplicaSets want more than it does.
    if (owner === undefined) return { uid: ref.uid, replicas: replicaSet.spec?.replicas ?? 1 };
    if (owner.kind !== 'Deployment') return this.#scaleOf(owner, namespace, signal);
    const deployment = this.#deployments.byKey(objectKey(namespace, owner.name));
    if (deployment?.metadata.uid !== owner.uid) return undefined;
    return { uid: owner.uid, replicas: deployment.spec?.replicas ?? 1 };
  }

  async #scaleOf(ref: ControllerRef, namespace: string, signal: AbortSignal): Promise<Wish | undefined> {
    const info = await this.#kindOf(ref, signal);
    if (info === undefined) return undefined;
    const { group, resource } = info;
    const root = group === '' ? `/api/${info.version}` : `/apis/${apiVersionOf(info)}`;
    const path = `${root}/namespaces/${namespace}/${resource}/${encodeURIComponent(ref.name)}/scale`;
    try {
      const scale = await this.#context.client.raw<Scale>({ method: 'GET', path, signal });
      if (scale.metadata.uid !== ref.uid) return undefined;
      return { uid: ref.uid, replicas: scale.spec?.replicas ?? 0 };
    } catch (err) {
      if (!isNotFound(err)) throw err;
      return undefined;
    }
  }

  async #kindOf({ apiVersion, kind }: ControllerRef, signal: AbortSignal): Promise<ResourceInfo | undefined> {
    const key = `${apiVersion}/${kind}`;
    const known = this.#kinds.get(key);
    if (known !== undefined) return known;
    const { resources: served } = await fetchDiscovery(this.#context.client, signal);
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
    const found = served.find((one) => one.kind === kind && one.group === group && one.namespaced);
    if (found !== undefined) this.#kinds.set(key, found);
    return found;
  }
}
