import { defineBinding } from './define-binding.ts';

export const roleBindings = defineBinding({
  resource: 'rolebindings',
  kind: 'RoleBinding',
  namespaced: true,
  roleKinds: ['Role', 'ClusterRole'],
});
