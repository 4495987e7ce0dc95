import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { parseCidr } from '#api/meta/ip-address.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, formatLabelSelector } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { PROTOCOLS, validatePort, validatePortOrName } from './validation/format.ts';
import { validateCidr } from './validation/ip.ts';
import { validateLabelSelector } from './validation/label-selector.ts';

type NetworkPolicy = Stored<INetworkPolicy>;
type Spec = NonNullable<NetworkPolicy['spec']>;
type Port = NonNullable<NonNullable<Spec['ingress']>[number]['ports']>[number];
type Peer = NonNullable<NonNullable<Spec['ingress']>[number]['from']>[number];

const POLICY_TYPES = ['Egress', 'Ingress'];

function validatePolicyPort({ protocol, port, endPort }: Port, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!PROTOCOLS.includes(protocol ?? '')) errors.push(notSupported(`${path}.protocol`, protocol ?? '', PROTOCOLS));
  if (port !== undefined) errors.push(...validatePortOrName(port, `${path}.port`));
  if (endPort === undefined) return errors;
  if (port === undefined) return [...errors, required(`${path}.port`, 'must be specified when `endPort` is specified')];
  if (typeof port === 'string') {
    return [...errors, invalid(`${path}.endPort`, endPort, 'may not be specified when `port` is non-numeric')];
  }
  if (endPort < port) errors.push(invalid(`${path}.endPort`, endPort, 'must be greater than or equal to `port`'));
  return [...errors, ...validatePort(endPort, `${path}.endPort`)];
}

function validateIpBlock({ cidr = '', except = [] }: NonNullable<Peer['ipBlock']>, path: string): FieldError[] {
  if (cidr === '') return [required(`${path}.cidr`)];
  const errors = validateCidr(cidr, `${path}.cidr`);
  const outer = parseCidr(cidr);
  if (outer === undefined) return errors;
  for (const [i, text] of except.entries()) {
    const inner = parseCidr(text);
    if (inner === undefined) errors.push(...validateCidr(text, `${path}.except[${i}]`));
    else if (
      inner.family !== outer.family ||
      inner.base < outer.base ||
      inner.base + inner.size > outer.base + outer.size ||
      inner.size >= outer.size
    ) {
      errors.push(invalid(`${path}.except[${i}]`, text, 'must be a strict subset of `cidr`'));
    }
  }
  return errors;
}

function validatePeer(peer: Peer, path: string): FieldError[] {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (ipBlock !== undefined && (podSelector !== undefined || namespaceSelector !== undefined)) {
    return [forbiddenField(path, 'may not specify both ipBlock and another peer')];
  }
  if (ipBlock === undefined && podSelector === undefined && namespaceSelector === undefined) {
    return [required(path, 'must specify a peer')];
  }
  return [
    ...validateLabelSelector(podSelector, `${path}.podSelector`),
    ...validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`),
    ...(ipBlock === undefined ? [] : validateIpBlock(ipBlock, `${path}.ipBlock`)),
  ];
}

interface PolicyRule {
  readonly ports?: readonly Port[];
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
}

function validateRules(rules: readonly PolicyRule[] | undefined, path: string): FieldError[] {
  return (rules ?? []).flatMap(({ ports = [], from = [], to = [] }, i) => [
    ...ports.flatMap((port, j) => validatePolicyPort(port, `${path}[${i}].ports[${j}]`)),
    ...from.flatMap((peer, j) => validatePeer(peer, `${path}[${i}].from[${j}]`)),
    ...to.flatMap((peer, j) => validatePeer(peer, `${path}[${i}].to[${j}]`)),
  ]);
}

function validateNetworkPolicy({ spec }: NetworkPolicy): FieldError[] {
  const types = spec?.policyTypes ?? [];
  return [
    ...validateLabelSelector(spec?.podSelector, 'spec.podSelector'),
    ...validateRules(spec?.ingress, 'spec.ingress'),
    ...validateRules(spec?.egress, 'spec.egress'),
    ...(types.length > POLICY_TYPES.length
      ? [invalid('spec.policyTypes', types, 'may not specify more than two policyTypes')]
      : []),
    ...types.flatMap((type, i) =>
      POLICY_TYPES.includes(type) ? [] : [notSupported(`spec.policyTypes[${i}]`, type, POLICY_TYPES)],
    ),
  ];
}

export const networkPolicies: ResourceDefinition = defineResource<NetworkPolicy>({
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'networkpolicies',
  kind: 'NetworkPolicy',
  namespaced: true,
  singular: 'networkpolicy',
  shortNames: ['netpol'],
  hasGeneration: true,
  applyDefaults({ spec }) {
    if (spec === undefined) return;
    for (const { ports = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of ports) port.protocol ??= 'TCP';
    }
    if ((spec.policyTypes ?? []).length > 0) return;
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  },
  validate: validateNetworkPolicy,
  columns: [nameColumn, text('Pod-Selector', 'Pods that the policy is for.'), ageColumn],
  tableRow: (policy, nowMs) => [
    policy.metadata.name,
    formatLabelSelector(policy.spec?.podSelector),
    age(policy, nowMs),
  ],
});
