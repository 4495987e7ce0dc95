import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { ApiError } from '#api/object/api-error.ts';
import { type Pod, type RuntimeClass, resources } from '#api/object/kinds.ts';
import type { PodCopies } from './offline/pod-copies.ts';
import { specOf, uidOf } from './pod-spec.ts';

/** Which of the runtime's handlers runs a pod, by the RuntimeClass that it names. */
export class RuntimeClasses {
  readonly #resource: ResourceClient<RuntimeClass>;
  readonly #copies: Pick<PodCopies, 'note' | 'recall'>;

  constructor(client: KubeClient, copies: Pick<PodCopies, 'note' | 'recall'>) {
    this.#resource = client.resource<RuntimeClass>(resources.runtimeClasses);
    this.#copies = copies;
  }

  /** '' is the runtime's default. Throws where the class does not exist, as Kubernetes words it. */
  async handlerOf(pod: Pod): Promise<string> {
    const name = specOf(pod).runtimeClassName;
    if (!name) return '';
    const copyName = `runtimeclasses/${name}`;
    try {
      const { handler } = await this.#resource.fetch(name);
      this.#copies.note(uidOf(pod), copyName, handler);
      return handler;
    } catch (err) {
      const isAnswered = err instanceof ApiError && err.code < 500;
      const copy = isAnswered ? undefined : await this.#copies.recall<string>(uidOf(pod), copyName);
      if (copy === undefined) throw err;
      return copy;
    }
  }
}
