import { dns1123Subdomain } from '#api/meta/names.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required, tooLong } from '#api/object/field-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { StrategyContext } from '../../registry/resource-definition.ts';
import {
  validateDnsLabel,
  validateDnsSubdomain,
  validateOneOf,
  validateQualifiedName,
  validateRange,
} from '../validation/format.ts';
import { validateIp } from '../validation/ip.ts';
import { validateLabels } from '../validation/label-selector.ts';
import { validateContainers } from './containers.ts';
import { validateOperatingSystem } from './operating-system.ts';
import { validatePodLevel, validateResourceClaims } from './pod-level.ts';
import type { Container, PodSpec, PodTemplateSpec } from './pod-types.ts';
import { isRestartableInit } from './pod-types.ts';
import { validateScheduling } from './scheduling.ts';
import { validatePodSecurity } from './security.ts';
import { validateVolumes } from './volumes.ts';

const RESTART_POLICIES = ['Always', 'Never', 'OnFailure'];
const DNS_POLICIES = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];
const DEADLINE = { from: 1, to: 2 ** 31 - 1 };
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;
/** Marks the API's image of a pod that its node has from a file. */
export const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

function validateDns(spec: PodSpec, path: string): FieldError[] {
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
  const at = `${path}.dnsConfig`;
  const errors = validateOneOf(spec.dnsPolicy, DNS_POLICIES, `${path}.dnsPolicy`);
  if (spec.dnsPolicy === 'None' && nameservers.length === 0) {
    errors.push(
      required(
        spec.dnsConfig === undefined ? at : `${at}.nameservers`,
        spec.dnsConfig === undefined
          ? 'must provide `dnsConfig` when `dnsPolicy` is None'
          : 'must provide at least one DNS nameserver when `dnsPolicy` is None',
      ),
    );
  }
  if (nameservers.length > MAX_NAMESERVERS) {
    errors.push(invalid(`${at}.nameservers`, nameservers, `must not have more than ${MAX_NAMESERVERS} nameservers`));
  }
  errors.push(...nameservers.flatMap((address, i) => validateIp(address, `${at}.nameservers[${i}]`)));
  if (searches.length > MAX_SEARCHES) {
    errors.push(invalid(`${at}.searches`, searches, `must not have more than ${MAX_SEARCHES} search paths`));
  }
  if (searches.join(' ').length > MAX_SEARCH_CHARACTERS) {
    errors.push(
      invalid(
        `${at}.searches`,
        searches,
        `must not have more than ${MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list`,
      ),
    );
  }
  for (const [i, search] of searches.entries()) {
    if (search !== '.')
      errors.push(...validateDnsSubdomain(search.replace(/\.$/, '').replaceAll('_', '-'), `${at}.searches[${i}]`));
  }
  for (const [i, { name }] of options.entries())
    if (!name) errors.push(required(`${at}.options[${i}]`, 'must not be empty'));
  return errors;
}

const MAX_HOSTNAME = 64;

/** The host name as the pod itself sees it, whatever the DNS says. */
function validateHostnameOverride(spec: PodSpec, path: string): FieldError[] {
  const name = spec.hostnameOverride;
  if (name === undefined) return [];
  const at = `${path}.hostnameOverride`;
  const errors = validateDnsSubdomain(name, at);
  if (name.length > MAX_HOSTNAME) errors.push(tooLong(at, MAX_HOSTNAME));
  if (spec.setHostnameAsFQDN) {
    errors.push(forbiddenField(at, 'may not be set when `setHostnameAsFQDN` is true'));
  }
  if (spec.hostNetwork) errors.push(forbiddenField(at, 'may not be set when `hostNetwork` is true'));
  return errors;
}

function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.serviceAccountName)
    errors.push(...validateDnsSubdomain(spec.serviceAccountName, `${path}.serviceAccountName`));
  if (spec.nodeName) errors.push(...validateDnsSubdomain(spec.nodeName, `${path}.nodeName`));
  if (spec.hostname) errors.push(...validateDnsLabel(spec.hostname, `${path}.hostname`));
  if (spec.subdomain) errors.push(...validateDnsLabel(spec.subdomain, `${path}.subdomain`));
  if (spec.priorityClassName) errors.push(...validateDnsSubdomain(spec.priorityClassName, `${path}.priorityClassName`));
  if (spec.runtimeClassName) errors.push(...validateDnsSubdomain(spec.runtimeClassName, `${path}.runtimeClassName`));
  if (spec.schedulerName === '') errors.push(required(`${path}.schedulerName`));
  return [...errors, ...validateHostnameOverride(spec, path)];
}

function validateHostAliases(aliases: PodSpec['hostAliases'], path: string): FieldError[] {
  return (aliases ?? []).flatMap(({ ip = '', hostnames = [] }, i) => [
    ...validateIp(ip, `${path}[${i}].ip`),
    ...hostnames.flatMap((hostname, j) => validateDnsSubdomain(hostname, `${path}[${i}].hostnames[${j}]`)),
  ]);
}

/** In the host's network a container's port is the host's. */
function validateHostNetworkPorts(spec: PodSpec, path: string): FieldError[] {
  if (!spec.hostNetwork) return [];
  const check = (containers: readonly Container[] | undefined, list: string) =>
    (containers ?? []).flatMap((container, i) =>
      (container.ports ?? []).flatMap((port, j) =>
        port.hostPort && port.hostPort !== port.containerPort
          ? [
              invalid(
                `${path}.${list}[${i}].ports[${j}].containerPort`,
                port.containerPort,
                'must match `hostPort` when `hostNetwork` is true',
              ),
            ]
          : [],
      ),
    );
  const sidecars = (spec.initContainers ?? []).filter(isRestartableInit);
  return [...check(spec.containers, 'containers'), ...check(sidecars, 'initContainers')];
}

function validatePodSpec(spec: PodSpec, path: string): FieldError[] {
  const { errors: volumeErrors, byName: volumes } = validateVolumes(spec.volumes, `${path}.volumes`);
  const claims = new Set((spec.resourceClaims ?? []).map(({ name }) => name));
  const errors = [
    ...volumeErrors,
    ...validateContainers({ spec, volumes, claims }, path),
    ...validateOneOf(spec.restartPolicy, RESTART_POLICIES, `${path}.restartPolicy`),
    ...validateDns(spec, path),
    ...validatePodSecurity(spec, path),
    ...validateHostNetworkPorts(spec, path),
    ...validateScheduling(spec, path),
    ...validateNames(spec, path),
    ...validateHostAliases(spec.hostAliases, `${path}.hostAliases`),
    ...validatePodLevel(spec, path),
    ...validateResourceClaims(spec.resourceClaims, `${path}.resourceClaims`),
    ...validateOperatingSystem(spec, path),
  ];
  for (const [i, { conditionType = '' }] of (spec.readinessGates ?? []).entries()) {
    errors.push(...validateQualifiedName(conditionType, `${path}.readinessGates[${i}].conditionType`));
  }
  if (spec.activeDeadlineSeconds !== undefined) {
    errors.push(...validateRange(spec.activeDeadlineSeconds, DEADLINE, `${path}.activeDeadlineSeconds`));
  }
  if (spec.preemptionPolicy !== undefined && !['Never', 'PreemptLowerPriority'].includes(spec.preemptionPolicy)) {
    errors.push(notSupported(`${path}.preemptionPolicy`, spec.preemptionPolicy, ['Never', 'PreemptLowerPriority']));
  }
  return errors;
}

/** The template of a workload: labels and spec, no name. */
export function validatePodTemplate(template: PodTemplateSpec, path: string): FieldError[] {
  const { metadata, spec } = template;
  return [
    ...validateLabels(metadata?.labels, `${path}.labels`),
    ...Object.keys(metadata?.annotations ?? {}).flatMap((key) =>
      validateQualifiedName(key.toLowerCase(), `${path}.annotations`),
    ),
    ...(spec === undefined ? [required(`${path}.spec.containers`)] : validatePodSpec(spec, `${path}.spec`)),
    ...((spec?.ephemeralContainers ?? []).length > 0
      ? [forbiddenField(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template')]
      : []),
  ];
}

function validateNewPod(pod: Pod): FieldError[] {
  const errors: FieldError[] = [];
  if ((pod.spec?.ephemeralContainers ?? []).length > 0) {
    errors.push(forbiddenField('spec.ephemeralContainers', 'cannot be set on create'));
  }
  for (const [i, volume] of (pod.spec?.volumes ?? []).entries()) {
    if (volume.ephemeral === undefined) continue;
    const claim = `${pod.metadata.name}-${volume.name}`;
    const path = `spec.volumes[${i}].name`;
    errors.push(...dns1123Subdomain(claim).map((why) => invalid(path, volume.name, `PVC name "${claim}": ${why}`)));
  }
  if (pod.spec?.nodeName && (pod.spec.schedulingGates ?? []).length > 0) {
    errors.push(forbiddenField('spec.nodeName', 'cannot be set until all schedulingGates have been cleared'));
  }
  return errors;
}

export function validatePod(pod: Pod, { request }: Pick<StrategyContext, 'request'>, old?: Pod): FieldError[] {
  if (pod.spec === undefined) return [required('spec.containers')];
  const mirror = pod.metadata.annotations?.[MIRROR_ANNOTATION];
  return [
    ...(pod.spec === old?.spec ? [] : validatePodSpec(pod.spec, 'spec')),
    ...(mirror !== undefined && !pod.spec.nodeName
      ? [
          invalid(
            `metadata.annotations[${MIRROR_ANNOTATION}]`,
            mirror,
            'must set spec.nodeName if mirror pod annotation is set',
          ),
        ]
      : []),
    ...(request.info.verb === 'create' ? validateNewPod(pod) : []),
  ];
}
