import { ApiError } from '#api/object/api-error.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

/** The old way to bind, POST namespaces/<ns>/bindings; kept in discovery because Kubernetes lists it, refused in favour of pods/binding. */
export const bindings: ResourceDefinition = defineResource({
  group: '',
  version: 'v1',
  resource: 'bindings',
  kind: 'Binding',
  namespaced: true,
  verbs: ['create'],
  virtualCreate() {
    throw new ApiError(405, 'MethodNotAllowed', 'bindings are created through pods/<name>/binding');
  },
});
