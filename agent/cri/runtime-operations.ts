/** Where Kubernetes' metrics name a call of CRI otherwise than by its own words. */
const NAMES: Readonly<Record<string, string>> = {
  UpdateContainerResources: 'update_container',
};

/** `RunPodSandbox` -> `run_podsandbox`: the `operation_type` of `kubelet_runtime_operations_total`. */
function operationType(method: string): string {
  const known = NAMES[method];
  if (known !== undefined) return known;
  return method
    .replace('PodSandbox', 'Podsandbox')
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .toLowerCase();
}

/** How often the runtime was called, by operation. An idle node must not ask much. */
export class RuntimeOperations {
  readonly #counts = new Map<string, number>();

  count(method: string): void {
    const type = operationType(method);
    this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1);
  }

  /** A copy: operation -> calls since the start. */
  counts(): ReadonlyMap<string, number> {
    return new Map(this.#counts);
  }
}
