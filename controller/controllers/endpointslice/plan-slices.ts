import type { EndpointSlice, Node, Pod, Service } from '#api/object/kinds.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import { packSlices, SliceGroups, type SlicePlan } from './pack-slices.ts';
import {
  addressTypesOf,
  computeEndpoint,
  computeEndpointPorts,
  isEndpointPod,
  isHeadless,
  podAddresses,
} from './pod-endpoints.ts';

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
export const HEADLESS = 'service.kubernetes.io/headless';

export interface SliceInput {
  readonly service: Service;
  /** Those that the selector matches. */
  readonly pods: readonly Pod[];
  /** The slices of this service that this controller manages. */
  readonly existing: readonly EndpointSlice[];
  readonly nodeOf: (name: string) => Node | undefined;
}

export function planSlices({ service, pods, existing, nodeOf }: SliceInput): SlicePlan {
  const types = addressTypesOf(service);
  const groups = new SliceGroups();
  for (const pod of pods.filter(isEndpointPod)) {
    const ports = computeEndpointPorts(service, pod);
    const node = pod.spec?.nodeName ? nodeOf(pod.spec.nodeName) : undefined;
    for (const type of types)
      if (podAddresses(pod, type).length > 0) groups.add(type, ports, computeEndpoint(service, pod, node, type));
  }
  return packSlices({ groups: groups.list(), existing, labels: computeLabels(service), placeholders: types });
}

/** The service's own labels, and those by which slices are found. */
export function computeLabels(service: Service): Record<string, string> {
  const { [HEADLESS]: _, ...own } = service.metadata.labels ?? {};
  return {
    ...own,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
    [SERVICE_NAME_LABEL]: service.metadata.name,
    [MANAGED_BY]: MANAGER,
  };
}
