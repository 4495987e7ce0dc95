const PREFIX = 'system:serviceaccount:';

export const serviceAccountUserName = (namespace: string, name: string): string => `${PREFIX}${namespace}:${name}`;

export const serviceAccountGroups = (namespace: string): readonly string[] => [
  'system:serviceaccounts',
  `system:serviceaccounts:${namespace}`,
];

/** Namespace and name behind a user name such as `system:serviceaccount:kube-system:default`; undefined for other users. */
export function parseServiceAccountUserName(userName: string): { namespace: string; name: string } | undefined {
  if (!userName.startsWith(PREFIX)) return undefined;
  const [namespace, name, ...more] = userName.slice(PREFIX.length).split(':');
  return namespace && name && more.length === 0 ? { namespace, name } : undefined;
}
