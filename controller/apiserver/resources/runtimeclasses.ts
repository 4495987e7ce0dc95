import type { IRuntimeClass } from 'kubernetes-models/node.k8s.io/v1/RuntimeClass';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateDnsLabel, validateImmutable } from './validation/format.ts';

export const runtimeClasses: ResourceDefinition = defineResource<Stored<IRuntimeClass>>({
  group: 'node.k8s.io',
  version: 'v1',
  resource: 'runtimeclasses',
  kind: 'RuntimeClass',
  namespaced: false,
  validate: (object) => validateDnsLabel(object.handler ?? '', 'handler'),
  validateUpdate: (object, old) => validateImmutable(object.handler, old.handler, 'handler'),
  columns: [nameColumn, text('Handler', 'Configuration of the container runtime that runs its pods.'), ageColumn],
  tableRow: (object, nowMs) => [object.metadata.name, object.handler, age(object, nowMs)],
});
