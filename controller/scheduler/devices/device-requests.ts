import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { IDeviceToleration } from 'kubernetes-models/resource.k8s.io/v1/DeviceToleration';
import type { IExactDeviceRequest } from 'kubernetes-models/resource.k8s.io/v1/ExactDeviceRequest';
import { toleratesDeviceTaint } from '#api/meta/device-taints.ts';
import type { ResourceClaim } from '#api/object/kinds.ts';

/** One way to satisfy a request: the request itself, or one of its alternatives. */
export interface Alternative {
  /** `gpu`, or `gpu/big` for an alternative. */
  readonly name: string;
  readonly spec: IExactDeviceRequest;
  readonly claim: ResourceClaim;
}

/** A request of a claim, with the ways to satisfy it in the order of preference. */
export interface DeviceRequest {
  readonly claim: ResourceClaim;
  readonly name: string;
  readonly alternatives: readonly Alternative[];
}

export function requestsOf(claim: ResourceClaim): readonly DeviceRequest[] {
  return (claim.spec?.devices?.requests ?? []).map(({ name, exactly, firstAvailable = [] }) => ({
    claim,
    name,
    alternatives:
      exactly === undefined
        ? firstAvailable.map((spec) => ({ name: `${name}/${spec.name}`, spec, claim }))
        : [{ name, spec: exactly, claim }],
  }));
}

/** Whether a list of names, empty for all, means this way to satisfy the request. */
export function isNamed(names: readonly string[] | undefined, request: DeviceRequest, { name }: Alternative): boolean {
  return names === undefined || names.length === 0 || names.includes(name) || names.includes(request.name);
}

/** Taints that keep devices from being given to whoever does not tolerate them. */
export function isTolerated(
  taints: readonly IDeviceTaint[] | undefined,
  tolerations: readonly IDeviceToleration[] | undefined,
): boolean {
  return (taints ?? [])
    .filter(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute')
    .every((taint) => (tolerations ?? []).some((toleration) => toleratesDeviceTaint(toleration, taint)));
}
