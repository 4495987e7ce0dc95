import type { Service } from '#api/object/kinds.ts';

/** 3 hours. */
const DEFAULT_AFFINITY_TIMEOUT_S = 10_800;

export type ServiceSpec = NonNullable<Service['spec']>;
export type ServicePort = NonNullable<ServiceSpec['ports']>[number];

export const isExternalName = (spec: ServiceSpec | undefined): boolean => spec?.type === 'ExternalName';
export const usesNodePorts = (spec: ServiceSpec | undefined): boolean =>
  spec?.type === 'NodePort' || spec?.type === 'LoadBalancer';
export const isHeadless = (spec: ServiceSpec | undefined): boolean => spec?.clusterIP === 'None';

export function applyServiceDefaults({ spec }: Service): void {
  if (spec === undefined) return;
  spec.type ||= 'ClusterIP';
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  else {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= DEFAULT_AFFINITY_TIMEOUT_S;
  }
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port;
  }
  if (!isExternalName(spec)) spec.internalTrafficPolicy ??= 'Cluster';
  if (usesNodePorts(spec)) spec.externalTrafficPolicy ||= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
}

/** Whether nodes answer health checks of an outside load balancer for this Service. */
export function needsHealthCheckPort(spec: ServiceSpec | undefined): boolean {
  return spec?.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

/** clusterIP is the first of clusterIPs; old clients write the one, new ones the other. `old`: what a client that changed one of them saw. */
export function alignClusterIps(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  const given = spec.clusterIPs ?? [];
  if (spec.clusterIP && given.length === 0) {
    spec.clusterIPs = [spec.clusterIP];
    return;
  }
  if (old === undefined) {
    if (!spec.clusterIP && given[0]) spec.clusterIP = given[0];
    return;
  }
  const single = spec.clusterIP ?? '';
  const sameSingle = single === (old.clusterIP ?? '');
  const sameList = given.join(',') === (old.clusterIPs ?? []).join(',');
  if (sameSingle || !sameList) return;
  // Only the single field was changed: the list follows it.
  if (single === '') delete spec.clusterIPs;
  else spec.clusterIPs = [single];
}

const portKey = (port: ServicePort): string => `${port.protocol}/${port.port}`;

/** What an update leaves out because its author never saw it keeps its allocated value. */
function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (!isExternalName(spec) && !isExternalName(old)) {
    if (!spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
      spec.clusterIP = old.clusterIP;
      spec.clusterIPs = old.clusterIPs === undefined ? undefined : [...old.clusterIPs];
    }
    spec.ipFamilies ??= old.ipFamilies;
    spec.ipFamilyPolicy ??= old.ipFamilyPolicy;
  }
  if (usesNodePorts(spec) && usesNodePorts(old)) {
    const before = new Map((old.ports ?? []).map((port) => [portKey(port), port.nodePort]));
    const used = new Set((spec.ports ?? []).map((port) => port.nodePort));
    for (const port of spec.ports ?? []) {
      const nodePort = before.get(portKey(port));
      if (!port.nodePort && nodePort && !used.has(nodePort)) port.nodePort = nodePort;
    }
  }
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(old)) spec.healthCheckNodePort ||= old.healthCheckNodePort;
}

const sameNodePorts = (spec: ServiceSpec, old: ServiceSpec): boolean =>
  (spec.ports ?? []).every((port) => !port.nodePort || (old.ports ?? []).some((o) => o.nodePort === port.nodePort));

/** Values that the old type needed and the new one forbids go silently where the client did not touch them. */
function dropForOtherType(spec: ServiceSpec, old: ServiceSpec): void {
  if (isExternalName(spec) && !isExternalName(old)) {
    if ((spec.clusterIP ?? '') === (old.clusterIP ?? '')) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
  }
  if (usesNodePorts(old) && !usesNodePorts(spec)) {
    if (sameNodePorts(spec, old)) for (const port of spec.ports ?? []) delete port.nodePort;
    if (spec.externalTrafficPolicy === old.externalTrafficPolicy) delete spec.externalTrafficPolicy;
  }
  if (
    needsHealthCheckPort(old) &&
    !needsHealthCheckPort(spec) &&
    spec.healthCheckNodePort === old.healthCheckNodePort
  ) {
    delete spec.healthCheckNodePort;
  }
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
}

/** Asking for one family alone is enough to give the second up: what was derived from the old policy follows the new one. */
function trimToSingleStack(spec: ServiceSpec, old: ServiceSpec): void {
  if (spec.ipFamilyPolicy !== 'SingleStack' || old.ipFamilyPolicy === 'SingleStack') return;
  const same = (a: readonly string[] = [], b: readonly string[] = []) => a.join(',') === b.join(',');
  if (spec.clusterIPs !== undefined && same(spec.clusterIPs, old.clusterIPs))
    spec.clusterIPs = spec.clusterIPs.slice(0, 1);
  if (spec.ipFamilies !== undefined && same(spec.ipFamilies, old.ipFamilies))
    spec.ipFamilies = spec.ipFamilies.slice(0, 1);
}

export function prepareServiceUpdate(service: Service, old: Service): void {
  const { spec } = service;
  const oldSpec = old.spec;
  if (spec === undefined || oldSpec === undefined) return;
  alignClusterIps(spec, oldSpec);
  keepAllocated(spec, oldSpec);
  trimToSingleStack(spec, oldSpec);
  dropForOtherType(spec, oldSpec);
  if (spec.type !== 'LoadBalancer' && oldSpec.type === 'LoadBalancer') service.status = { loadBalancer: {} };
}
