import { badRequest } from '#api/object/api-error.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyBinding } from './pod/binding.ts';

/** POST namespaces/<ns>/bindings: the old way to bind the pod that the Binding is named after; pods/<name>/binding does the same. */
export const bindings: ResourceDefinition = defineResource({
  group: '',
  version: 'v1',
  resource: 'bindings',
  kind: 'Binding',
  namespaced: true,
  verbs: ['create'],
  virtualCreate(binding, context, others) {
    const { name } = binding.metadata;
    if (!name) throw badRequest('name is required');
    return applyBinding(context, others, name, binding);
  },
});
