/** What the operations of a group and version have in common in their names: `AppsV1`, and the tag `apps_v1`. */
export interface OperationFamily {
  readonly prefix: string;
  readonly tag: string;
}

/** `rbac.authorization.k8s.io/v1` -> `RbacAuthorizationV1` and `rbacAuthorization_v1`; the group without a name is `core`. */
export function operationFamily({ group, version }: { group: string; version: string }): OperationFamily {
  const words = group === '' ? 'core' : group.replace(/\.k8s\.io$/, '');
  const name = camelCase(words);
  return { prefix: `${capitalize(name)}${capitalize(version)}`, tag: `${name}_${version}` };
}

export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function camelCase(text: string): string {
  const [first = '', ...others] = text.split(/[^A-Za-z0-9]+/);
  return first + others.map(capitalize).join('');
}
