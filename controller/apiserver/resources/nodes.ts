import { parseCidr } from '#api/meta/ip-address.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import type { Node } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import { age, NONE, UNKNOWN } from './printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from './printing/columns.ts';
import { validateLabelValue, validateQualifiedName } from './validation/format.ts';
import { validateCidr } from './validation/ip.ts';
import { volatileFields } from './volatile-update.ts';

const ROLE_LABEL_PREFIX = 'node-role.kubernetes.io/';
const ROLE_LABEL = 'kubernetes.io/role';
const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

type Taint = NonNullable<NonNullable<Node['spec']>['taints']>[number];

function validateTaints(taints: readonly Taint[]): FieldError[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, i) => {
    const path = `spec.taints[${i}]`;
    const errors = validateQualifiedName(taint.key ?? '', `${path}.key`);
    if (taint.value) errors.push(...validateLabelValue(taint.value, `${path}.value`));
    if (!taint.effect) errors.push(required(`${path}.effect`));
    else if (!TAINT_EFFECTS.includes(taint.effect)) {
      errors.push(notSupported(`${path}.effect`, taint.effect, TAINT_EFFECTS));
    }
    // One key may have one taint of each effect.
    const identity = `${taint.key}:${taint.effect}`;
    if (seen.has(identity)) {
      const shown = { ...taint };
      errors.push({
        ...duplicate(path, shown),
        message: `${duplicate(path, shown).message}: taints must be unique by key and effect pair`,
      });
    }
    seen.add(identity);
    return errors;
  });
}

function validatePodCidrs(node: Node): FieldError[] {
  const cidrs = node.spec?.podCIDRs ?? [];
  const errors = cidrs.flatMap((cidr, i) => validateCidr(cidr, `spec.podCIDRs[${i}]`));
  const families = cidrs.map((cidr) => parseCidr(cidr)?.family);
  if (cidrs.length > 2 || (cidrs.length === 2 && families[0] === families[1])) {
    errors.push(invalid('spec.podCIDRs', cidrs, 'may specify no more than one CIDR for each IP family'));
  }
  return errors;
}

function validateCapacity(node: Node): FieldError[] {
  return (['capacity', 'allocatable'] as const).flatMap((field) =>
    Object.entries(node.status?.[field] ?? {}).flatMap(([name, value]) =>
      Quantity.parse(value as string | number).sign < 0
        ? [invalid(`status.${field}[${name}]`, value, 'must be greater than or equal to 0')]
        : [],
    ),
  );
}

function validateAddresses({ status }: Node): FieldError[] {
  const seen = new Set<string>();
  return (status?.addresses ?? []).flatMap((address, i) => {
    const identity = `${address.type}/${address.address}`;
    const isDouble = seen.has(identity);
    seen.add(identity);
    return isDouble ? [duplicate(`status.addresses[${i}]`, address)] : [];
  });
}

function validateNode(node: Node): FieldError[] {
  return [
    ...validateAddresses(node),
    ...validateTaints(node.spec?.taints ?? []),
    ...validatePodCidrs(node),
    ...validateCapacity(node),
  ];
}

/** Where a field goes from empty to a value, it stays: pod networks and cloud identities cannot move. */
function validateNodeUpdate(node: Node, old: Node): FieldError[] {
  const errors: FieldError[] = [];
  const spec = node.spec ?? {};
  const oldSpec = old.spec ?? {};
  if ((oldSpec.podCIDRs ?? []).length > 0 && !deepEqual(oldSpec.podCIDRs, spec.podCIDRs)) {
    errors.push(forbiddenField('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  }
  if (oldSpec.providerID && oldSpec.providerID !== spec.providerID) {
    errors.push(forbiddenField('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  }
  return errors;
}

/** podCIDR is the first of podCIDRs; old clients write the one, new ones the other. */
function alignPodCidrs(node: Node): void {
  const { spec } = node;
  if (spec === undefined) return;
  if (spec.podCIDR && (spec.podCIDRs ?? []).length === 0) spec.podCIDRs = [spec.podCIDR];
  else if (spec.podCIDRs?.[0] !== undefined) spec.podCIDR = spec.podCIDRs[0];
}

function nodeStatusCell(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
  const status = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return node.spec?.unschedulable ? `${status},SchedulingDisabled` : status;
}

function nodeRolesCell(node: Node): string {
  const roles = new Set<string>();
  for (const [label, value] of Object.entries(node.metadata.labels ?? {})) {
    if (label.startsWith(ROLE_LABEL_PREFIX)) roles.add(label.slice(ROLE_LABEL_PREFIX.length));
    else if (label === ROLE_LABEL) roles.add(value);
  }
  roles.delete('');
  return [...roles].sort().join(',') || NONE;
}

function addressCell(node: Node, type: string): string {
  return node.status?.addresses?.find((address) => address.type === type)?.address ?? NONE;
}

function nodeRow(node: Node, nowMs: number): unknown[] {
  const info = node.status?.nodeInfo;
  return [
    node.metadata.name,
    nodeStatusCell(node),
    nodeRolesCell(node),
    age(node, nowMs),
    info?.kubeletVersion ?? '',
    addressCell(node, 'InternalIP'),
    addressCell(node, 'ExternalIP'),
    info?.osImage || UNKNOWN,
    info?.kernelVersion || UNKNOWN,
    info?.containerRuntimeVersion || UNKNOWN,
  ];
}

/** `subresources`: what needs a way to the node (proxy). */
export function nodes(subresources: readonly SubresourceDefinition[]): ResourceDefinition {
  return defineResource<Node>({
    group: '',
    version: 'v1',
    resource: 'nodes',
    kind: 'Node',
    namespaced: false,
    shortNames: ['no'],
    storagePrefix: '/registry/minions',
    hasStatus: true,
    subresources,
    applyDefaults(node) {
      alignPodCidrs(node);
      if (node.status?.capacity !== undefined) node.status.allocatable ??= { ...node.status.capacity };
    },
    validate: validateNode,
    validateUpdate: validateNodeUpdate,
    validateStatusUpdate: (node) => [...validateCapacity(node), ...validateAddresses(node)],
    selectableFields: (node) => ({ 'spec.unschedulable': String(node.spec?.unschedulable ?? false) }),
    isVolatileUpdate: volatileFields(['status.conditions.*.lastHeartbeatTime']),
    columns: [
      nameColumn,
      text('Status', 'Whether the node is ready, and whether new pods may go there.'),
      text('Roles', 'Roles that labels give the node.'),
      ageColumn,
      text('Version', 'Version of the node agent.'),
      wideColumn('Internal-IP', 'First address inside the cluster network.'),
      wideColumn('External-IP', 'First address reachable from outside.'),
      wideColumn('OS-Image', 'Operating system.'),
      wideColumn('Kernel-Version', 'Kernel of the operating system.'),
      wideColumn('Container-Runtime', 'Container runtime and its version.'),
    ],
    tableRow: nodeRow,
  });
}
