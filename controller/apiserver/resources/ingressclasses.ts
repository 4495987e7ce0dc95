import type { IIngressClass } from 'kubernetes-models/networking.k8s.io/v1/IngressClass';
import { type FieldError, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';

type IngressClass = Stored<IIngressClass>;

function validateIngressClass({ spec }: IngressClass): FieldError[] {
  return spec?.controller ? [] : [required('spec.controller')];
}

function parametersCell({ spec }: IngressClass): string {
  const parameters = spec?.parameters;
  if (parameters === undefined) return NONE;
  const group = parameters.apiGroup ? `.${parameters.apiGroup}` : '';
  return `${parameters.kind}${group}/${parameters.name}`;
}

export const ingressClasses: ResourceDefinition = defineResource<IngressClass>({
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'ingressclasses',
  kind: 'IngressClass',
  namespaced: false,
  hasGeneration: true,
  validate: validateIngressClass,
  validateUpdate: (object, old) => validateImmutable(object.spec?.controller, old.spec?.controller, 'spec.controller'),
  columns: [
    nameColumn,
    text('Controller', 'Controller that serves Ingresses of this class.'),
    text('Parameters', 'Object with further settings.'),
    ageColumn,
  ],
  tableRow: (object, nowMs) => [
    object.metadata.name,
    object.spec?.controller ?? '',
    parametersCell(object),
    age(object, nowMs),
  ],
});
