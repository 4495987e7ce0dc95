import type { FileSystem } from './host.ts';

/** How the kernel groups processes, and what of it can be limited. */
export interface CgroupFacts {
  readonly version: 1 | 2;
  /** Version 2: the one tree. Version 1: a folder with a tree for each controller. */
  readonly root: string;
  /** What works here, by the names of its version: `cpu`, `memory`, `pids`, `hugetlb` ... */
  readonly controllers: readonly string[];
}

const ROOT = '/sys/fs/cgroup';

/** Version 2 only where the unified tree holds the controllers; a hybrid host, whose `unified` tree has next to none, counts as version 1. */
export async function readCgroups(fs: Pick<FileSystem, 'readText'>): Promise<CgroupFacts> {
  const unified = words(await textOf(fs, `${ROOT}/cgroup.controllers`));
  if (unified.length > 0) return { version: 2, root: ROOT, controllers: unified };
  return { version: 1, root: ROOT, controllers: controllersOf(await textOf(fs, '/proc/cgroups')) };
}

/** Nothing where there is no such file; what else keeps it from being read does not make a host of another version. */
async function textOf(fs: Pick<FileSystem, 'readText'>, path: string): Promise<string> {
  try {
    return await fs.readText(path);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw err;
  }
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');

/** `/proc/cgroups` lists what the kernel was built with: name, hierarchy (0 where it is in none of version 1), groups, enabled. */
function controllersOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map(words)
    .flatMap(([name = '', hierarchy, , enabled]) => (hierarchy !== '0' && enabled === '1' ? [name] : []));
}
