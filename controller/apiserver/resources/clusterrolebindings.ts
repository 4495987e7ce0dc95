import { defineBinding } from './define-binding.ts';

export const clusterRoleBindings = defineBinding({
  resource: 'clusterrolebindings',
  kind: 'ClusterRoleBinding',
  namespaced: false,
  roleKinds: ['ClusterRole'],
});
