import type { EndpointSlice } from './kinds.ts';
import { type ObjectKey, objectKey } from './kube-object.ts';

/** The label by which EndpointSlices name their Service. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

/** EndpointSlices under the Service that their label names; those without the label belong to nobody and are left out. */
export class SlicesByService {
  readonly #slices = new Map<ObjectKey, Map<string, EndpointSlice>>();

  /** Answers the Service whose slices changed. */
  set(slice: EndpointSlice): ObjectKey | undefined {
    const key = serviceKeyOf(slice);
    if (key === undefined) return undefined;
    const slices = this.#slices.get(key) ?? new Map<string, EndpointSlice>();
    slices.set(slice.metadata.name, slice);
    this.#slices.set(key, slices);
    return key;
  }

  /** Answers the Service whose slices changed. */
  delete(slice: EndpointSlice): ObjectKey | undefined {
    const key = serviceKeyOf(slice);
    if (key === undefined) return undefined;
    const slices = this.#slices.get(key);
    slices?.delete(slice.metadata.name);
    if (slices?.size === 0) this.#slices.delete(key);
    return key;
  }

  of(service: ObjectKey): EndpointSlice[] {
    return [...(this.#slices.get(service)?.values() ?? [])];
  }
}

function serviceKeyOf(slice: EndpointSlice): ObjectKey | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? undefined : objectKey(slice.metadata.namespace, name);
}
