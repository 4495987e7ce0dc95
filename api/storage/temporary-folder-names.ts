export const TEMPORARY_ROOT = '/tmp';

/**
 * The names from /tmp down to a folder strictly below it; undefined for all other paths, and for those with `.` and `..` in them, which
 * mean other folders than they look like.
 */
export function temporaryFolderNames(path: string, root = TEMPORARY_ROOT): readonly string[] | undefined {
  if (!path.startsWith(`${root}/`)) return undefined;
  const names = path
    .slice(root.length)
    .split('/')
    .filter((name) => name !== '');
  return names.length === 0 || names.some((name) => name === '.' || name === '..') ? undefined : names;
}
