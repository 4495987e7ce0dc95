import { parseIp } from '#api/meta/ip-address.ts';
import { portName } from '#api/meta/names.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import type { Service } from '#api/object/kinds.ts';
import {
  PROTOCOLS,
  validateDnsLabel,
  validateDnsSubdomain,
  validateImmutable,
  validateOneOf,
  validateOptionalOneOf,
  validatePort,
  validateQualifiedName,
  validateRange,
} from '../validation/format.ts';
import { validateCidr, validateIp, validateReachableIp } from '../validation/ip.ts';
import { validateLabels } from '../validation/label-selector.ts';
import {
  isExternalName,
  isHeadless,
  needsHealthCheckPort,
  type ServicePort,
  type ServiceSpec,
  usesNodePorts,
} from './defaults.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const AFFINITIES = ['ClientIP', 'None'];
const POLICIES = ['Cluster', 'Local'];
const FAMILIES = ['IPv4', 'IPv6'];
const FAMILY_POLICIES = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
/** 1 day. */
const AFFINITY_TIMEOUT = { from: 1, to: 86_400 };

function validateTargetPort(targetPort: number | string | undefined, path: string): FieldError[] {
  if (targetPort === undefined) return [required(path)];
  if (typeof targetPort === 'number') return validatePort(targetPort, path);
  return portName(targetPort).map((message) => invalid(path, targetPort, message));
}

function validateServicePort(port: ServicePort, path: string, spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const several = (spec.ports ?? []).length > 1;
  if (port.name) errors.push(...validateDnsLabel(port.name, `${path}.name`));
  else if (several) errors.push(required(`${path}.name`));
  errors.push(...validatePort(port.port ?? 0, `${path}.port`));
  errors.push(...validateOneOf(port.protocol, PROTOCOLS, `${path}.protocol`));
  errors.push(...validateTargetPort(port.targetPort, `${path}.targetPort`));
  if (port.appProtocol !== undefined) errors.push(...validateQualifiedName(port.appProtocol, `${path}.appProtocol`));
  if (port.nodePort && !usesNodePorts(spec)) {
    errors.push(forbiddenField(`${path}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
  }
  return errors;
}

function validatePorts(spec: ServiceSpec): FieldError[] {
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !isHeadless(spec) && !isExternalName(spec)) return [required('spec.ports')];
  const names = new Set<string>();
  const seen = new Set<string>();
  const nodePorts = new Set<string>();
  return ports.flatMap((port, i) => {
    const path = `spec.ports[${i}]`;
    const errors = validateServicePort(port, path, spec);
    if (port.name) {
      if (names.has(port.name)) errors.push(duplicate(`${path}.name`, port.name));
      names.add(port.name);
    }
    const key = `${port.protocol}/${port.port}`;
    if (seen.has(key)) errors.push(duplicate(path, { protocol: port.protocol, port: port.port }));
    seen.add(key);
    if (port.nodePort) {
      const nodeKey = `${port.protocol}/${port.nodePort}`;
      if (nodePorts.has(nodeKey)) errors.push(duplicate(`${path}.nodePort`, port.nodePort));
      nodePorts.add(nodeKey);
    }
    return errors;
  });
}

function validateClusterIps(spec: ServiceSpec): FieldError[] {
  const { clusterIP = '', clusterIPs = [], ipFamilies = [] } = spec;
  if (isExternalName(spec)) {
    const errors: FieldError[] = [];
    if (clusterIPs.length > 0 || clusterIP !== '') {
      errors.push(forbiddenField('spec.clusterIPs[0]', "may not be set when `type` is 'ExternalName'"));
    }
    if (ipFamilies.length > 0)
      errors.push(forbiddenField('spec.ipFamilies', "may not be set when `type` is 'ExternalName'"));
    if (spec.ipFamilyPolicy !== undefined) {
      errors.push(forbiddenField('spec.ipFamilyPolicy', "may not be set when `type` is 'ExternalName'"));
    }
    return errors;
  }
  if (clusterIP !== (clusterIPs[0] ?? clusterIP)) {
    return [invalid('spec.clusterIPs[0]', clusterIPs[0], 'first value must match `clusterIP`')];
  }
  if (clusterIPs.length > 2) return [invalid('spec.clusterIPs', clusterIPs, 'may only hold up to 2 values')];
  if (clusterIPs.includes('None')) {
    if (clusterIPs.length > 1)
      return [invalid('spec.clusterIPs', clusterIPs, "'None' must be the first and only value")];
    return usesNodePorts(spec)
      ? [invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`)]
      : [];
  }
  const errors = clusterIPs.flatMap((ip, i) => (ip === '' ? [] : validateIp(ip, `spec.clusterIPs[${i}]`)));
  if (errors.length > 0) return errors;
  return clusterIPs.flatMap((ip, i) => {
    const family = parseIp(ip)?.family;
    return ipFamilies[i] !== undefined && family !== undefined && family !== ipFamilies[i]
      ? [
          invalid(
            `spec.clusterIPs[${i}]`,
            ip,
            `expected an ${ipFamilies[i]} value as indicated by \`ipFamilies[${i}]\``,
          ),
        ]
      : [];
  });
}

function validateFamilies(spec: ServiceSpec): FieldError[] {
  const families = spec.ipFamilies ?? [];
  const errors = families.flatMap((family, i) => {
    if (!FAMILIES.includes(family)) return [notSupported(`spec.ipFamilies[${i}]`, family, FAMILIES)];
    return families.indexOf(family) < i ? [duplicate(`spec.ipFamilies[${i}]`, family)] : [];
  });
  return [...errors, ...validateOptionalOneOf(spec.ipFamilyPolicy, FAMILY_POLICIES, 'spec.ipFamilyPolicy')];
}

function validateAffinity(spec: ServiceSpec): FieldError[] {
  const errors = validateOneOf(spec.sessionAffinity, AFFINITIES, 'spec.sessionAffinity');
  const timeout = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity === 'None') {
    if (spec.sessionAffinityConfig !== undefined) {
      errors.push(forbiddenField('spec.sessionAffinityConfig', "must not be set when session affinity is 'None'"));
    }
  } else if (timeout === undefined) {
    errors.push(required('spec.sessionAffinityConfig.clientIP.timeoutSeconds'));
  } else {
    errors.push(...validateRange(timeout, AFFINITY_TIMEOUT, 'spec.sessionAffinityConfig.clientIP.timeoutSeconds'));
  }
  return errors;
}

function validateExternalName(spec: ServiceSpec): FieldError[] {
  if (!isExternalName(spec)) return [];
  const name = (spec.externalName ?? '').replace(/\.$/, '');
  return name === '' ? [required('spec.externalName')] : validateDnsSubdomain(name.toLowerCase(), 'spec.externalName');
}

function validateTrafficPolicies(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const reachable = usesNodePorts(spec) || (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  if (spec.externalTrafficPolicy !== undefined && !reachable) {
    errors.push(
      invalid(
        'spec.externalTrafficPolicy',
        spec.externalTrafficPolicy,
        'may only be set for externally-accessible services',
      ),
    );
  } else if (usesNodePorts(spec)) {
    errors.push(...validateOneOf(spec.externalTrafficPolicy, POLICIES, 'spec.externalTrafficPolicy'));
  }
  if (!isExternalName(spec))
    errors.push(...validateOneOf(spec.internalTrafficPolicy, POLICIES, 'spec.internalTrafficPolicy'));
  else if (spec.internalTrafficPolicy !== undefined) {
    errors.push(forbiddenField('spec.internalTrafficPolicy', "may not be set when `type` is 'ExternalName'"));
  }
  if (spec.healthCheckNodePort && !needsHealthCheckPort(spec)) {
    errors.push(
      invalid(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    );
  }
  return errors;
}

function validateLoadBalancer(spec: ServiceSpec): FieldError[] {
  const errors = (spec.loadBalancerSourceRanges ?? []).flatMap((range, i) =>
    validateCidr(range.trim(), `spec.loadBalancerSourceRanges[${i}]`),
  );
  if (spec.type === 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === undefined) errors.push(required('spec.allocateLoadBalancerNodePorts'));
    return errors;
  }
  if ((spec.loadBalancerSourceRanges ?? []).length > 0) {
    errors.push(forbiddenField('spec.loadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"));
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined) {
    errors.push(forbiddenField('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'"));
  }
  if (spec.loadBalancerClass !== undefined) {
    errors.push(forbiddenField('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"));
  }
  return errors;
}

export function validateService({ spec }: Service): FieldError[] {
  if (spec === undefined) return [required('spec.ports')];
  return [
    ...validateOneOf(spec.type, TYPES, 'spec.type'),
    ...validatePorts(spec),
    ...validateLabels(spec.selector, 'spec.selector'),
    ...validateAffinity(spec),
    ...validateClusterIps(spec),
    ...validateFamilies(spec),
    ...(spec.externalIPs ?? []).flatMap((ip, i) => validateReachableIp(ip, `spec.externalIPs[${i}]`)),
    ...validateExternalName(spec),
    ...validateTrafficPolicies(spec),
    ...validateLoadBalancer(spec),
    ...validateOptionalOneOf(
      spec.trafficDistribution,
      ['PreferClose', 'PreferSameNode', 'PreferSameZone'],
      'spec.trafficDistribution',
    ),
  ];
}

/** A cluster IP is for life, unless the Service gives up or takes on having one. */
function validateClusterIpUpdate(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (isExternalName(spec) || isExternalName(old)) return [];
  const [now, before] = [spec.clusterIPs ?? [], old.clusterIPs ?? []];
  if (before[0] !== undefined && now[0] !== before[0]) {
    return [invalid('spec.clusterIPs[0]', now, 'may not change once set')];
  }
  if (before[1] !== undefined && now[1] !== undefined && now[1] !== before[1]) {
    return [invalid('spec.clusterIPs[1]', now, 'may not change once set')];
  }
  return [];
}

export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  const { spec } = service;
  const oldSpec = old.spec;
  if (spec === undefined || oldSpec === undefined) return [];
  const errors = validateClusterIpUpdate(spec, oldSpec);
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(oldSpec)) {
    errors.push(
      ...validateImmutable(spec.healthCheckNodePort, oldSpec.healthCheckNodePort, 'spec.healthCheckNodePort'),
    );
  }
  if (
    spec.type === 'LoadBalancer' &&
    oldSpec.type === 'LoadBalancer' &&
    spec.loadBalancerClass !== oldSpec.loadBalancerClass
  ) {
    errors.push(invalid('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set'));
  }
  return errors;
}
