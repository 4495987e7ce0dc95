import type { ICSINode } from 'kubernetes-models/storage.k8s.io/v1/CSINode';
import { duplicate, type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, integer, nameColumn } from './printing/columns.ts';
import { validateDriverName } from './storage/validate-class.ts';
import { validateImmutable, validateNonNegative, validateQualifiedName } from './validation/format.ts';

type CSINode = Stored<ICSINode>;
type Driver = NonNullable<CSINode['spec']>['drivers'][number];

const MAX_NODE_ID_LENGTH = 256;

function validateDriver({ name, nodeID, allocatable, topologyKeys = [] }: Driver, path: string): FieldError[] {
  const errors = validateDriverName(name, `${path}.name`);
  if (!nodeID) errors.push(required(`${path}.nodeID`));
  else if (nodeID.length > MAX_NODE_ID_LENGTH) {
    errors.push(invalid(`${path}.nodeID`, nodeID, `must be ${MAX_NODE_ID_LENGTH} characters or less`));
  }
  errors.push(...validateNonNegative(allocatable?.count, `${path}.allocatable.count`));
  for (const [i, key] of topologyKeys.entries()) {
    if (key === '') errors.push(required(path));
    if (topologyKeys.indexOf(key) < i) errors.push(duplicate(path, key));
    errors.push(...validateQualifiedName(key, path));
  }
  return errors;
}

function validateNode({ spec }: CSINode): FieldError[] {
  const seen = new Set<string>();
  return (spec?.drivers ?? []).flatMap((driver, i) => {
    const errors = validateDriver(driver, `spec.drivers[${i}]`);
    if (seen.has(driver.name)) errors.push(duplicate(`spec.drivers[${i}].name`, driver.name));
    seen.add(driver.name);
    return errors;
  });
}

/** Drivers come and go; how many volumes one can attach changes; the rest of it stays. */
function validateDriversUpdate(node: CSINode, old: CSINode): FieldError[] {
  const fixed = ({ allocatable: _mutable, ...rest }: Driver) => rest;
  return (old.spec?.drivers ?? []).flatMap((before) =>
    (node.spec?.drivers ?? [])
      .filter(({ name }) => name === before.name)
      .flatMap((driver) => validateImmutable(fixed(driver), fixed(before), 'spec.drivers')),
  );
}

export const csiNodes: ResourceDefinition = defineResource<CSINode>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'csinodes',
  kind: 'CSINode',
  namespaced: false,
  allowUnconditionalUpdate: false,
  validate: validateNode,
  validateUpdate: validateDriversUpdate,
  columns: [nameColumn, integer('Drivers', 'Number of CSI drivers on the node.'), ageColumn],
  tableRow: (node, nowMs) => [node.metadata.name, (node.spec?.drivers ?? []).length, age(node, nowMs)],
});
