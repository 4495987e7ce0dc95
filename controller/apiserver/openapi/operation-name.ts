/** What the operations of a group and version have in common in their names: `AppsV1`, and the tag `apps_v1`. */
export interface OperationFamily {
  readonly prefix: string;
  readonly tag: string;
}

/** `rbac.authorization.k8s.io/v1` -> `RbacAuthorizationV1` and `rbacAuthorization_v1`; the group without a name is `core`. */
export function operationFamily({ group, version }: { group: string; version: string }): OperationFamily {
  const { prefix, tag } = groupName(group);
  return { prefix: `${prefix}${capitalize(version)}`, tag: `${tag}_${version}` };
}

/** The same of a whole group. */
export function groupName(group: string): OperationFamily {
  const tag = camelCase(group === '' ? 'core' : group.replace(/\.k8s\.io$/, ''));
  return { prefix: capitalize(tag), tag };
}

export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function camelCase(text: string): string {
  const [first = '', ...others] = text.split(/[^A-Za-z0-9]+/);
  return first + others.map(capitalize).join('');
}
