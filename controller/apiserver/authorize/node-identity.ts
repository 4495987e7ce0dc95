import type { UserInfo } from '../chain/request-context.ts';

const PREFIX = 'system:node:';
const GROUP = 'system:nodes';

/** Name of the node that this user is; undefined for other users. '' = a node that does not say which. */
export function nodeNameOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(GROUP)) return undefined;
  return user.name.startsWith(PREFIX) ? user.name.slice(PREFIX.length) : '';
}
