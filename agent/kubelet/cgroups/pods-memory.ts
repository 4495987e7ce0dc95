import type { Host } from '../../host/host.ts';
import type { Observation } from '../eviction/eviction-state.ts';
import { type CgroupSettings, podsCgroupPath } from './cgroup-names.ts';

/** What a limit of version 1 says where there is none. */
const UNLIMITED = 2 ** 62;

/**
 * What all pods together have left of what they may use; undefined where they have no limit of their own. Files that the kernel could
 * drop at once do not count as used, as in Kubernetes' working set.
 */
export async function readPodsMemory(host: Host, settings: CgroupSettings): Promise<Observation | undefined> {
  const { version, root } = await host.cgroups();
  const folder = `${root}${version === 2 ? '' : '/memory'}${podsCgroupPath(settings)}`;
  const [limitFile, usageFile, idleKey] =
    version === 2
      ? ['memory.max', 'memory.current', 'inactive_file']
      : ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'];
  const read = (name: string) => host.fs.readText(`${folder}/${name}`).catch(() => '');
  const [limit, usage, stat] = await Promise.all([read(limitFile), read(usageFile), read('memory.stat')]);
  const capacity = numberOf(limit);
  const used = numberOf(usage);
  if (capacity === undefined || used === undefined || capacity >= UNLIMITED) return undefined;
  const idle = numberOf(new RegExp(`^${idleKey} (\\d+)$`, 'm').exec(stat)?.[1] ?? '0') ?? 0;
  return { available: capacity - Math.max(0, used - idle), capacity };
}

function numberOf(text: string): number | undefined {
  const trimmed = text.trim();
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}
