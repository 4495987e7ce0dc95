import type { IVolume } from 'kubernetes-models/v1/Volume';
import { podLimits } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { applyFsGroup } from './fs-group.ts';
import { type VolumeContext, VolumeError, type VolumeKind } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~empty-dir';
const pathOf = ({ pod, paths }: VolumeContext, volume: IVolume) => paths.volume(pod.metadata.uid, PLUGIN, volume.name);

export const emptyDir: VolumeKind = {
  type: 'directory',
  measuredBy: 'walk',
  async setUp(context, volume) {
    const { host, pod, allocatable } = context;
    const path = pathOf(context, volume);
    const { medium = '', sizeLimit } = volume.emptyDir ?? {};
    const isHuge = medium === 'HugePages' || medium.startsWith('HugePages-');
    if (medium !== '' && medium !== 'Memory' && !isHuge)
      throw new VolumeError(`emptyDir medium ${JSON.stringify(medium)} is not supported by this agent`);
    const gid = specOf(pod).securityContext?.fsGroup;
    if ((await host.fs.info(path)) === undefined) await makeFolder(context, path, gid);
    const isMounted = medium !== '' && (await host.mounts.list()).some((mount) => mount.path === path);
    // As one step: nobody must take for finished what lacks its group.
    if (medium === 'Memory' && !isMounted) {
      const sizeBytes = memorySizeBytes(pod, sizeLimit, allocatable.memory);
      const mode = gid === undefined ? 0o777 : 0o2777;
      await host.mounts.mountTmpfs(path, { mode, gid, ...(sizeBytes > 0 ? { sizeBytes } : {}) });
    }
    if (isHuge && !isMounted) {
      const options = [`pagesize=${pageSize(context, medium)}`];
      await host.mounts.mount({ fsType: 'hugetlbfs', source: 'nodev', path, options });
      await applyFsGroup(host.fs, path, gid);
    }
    return { hostPath: path, readOnly: false };
  },
};

/** Under its name it is complete, whenever the agent was killed. */
async function makeFolder({ host }: VolumeContext, path: string, gid: number | undefined): Promise<void> {
  // No volume has a dot in its name.
  const unfinished = `${path}.new`;
  await host.fs.makeDirectory(unfinished, 0o777);
  // mkdir is subject to the umask.
  await host.fs.chmod(unfinished, 0o777);
  await applyFsGroup(host.fs, unfinished, gid);
  await host.fs.rename(unfinished, path);
}

/**
 * What is in memory counts as the pod's memory: no volume is larger than the pod's limit, or than what the node has for pods. 0 where
 * neither is known: then the kernel allows half of the memory.
 */
export function memorySizeBytes(pod: Pod, sizeLimit: string | number | undefined, allocatableBytes: number): number {
  const spec = specOf(pod);
  const isLimited = allContainers(pod).every(({ resources }) => resources?.limits?.memory !== undefined);
  const hasOwn = spec.resources?.limits?.memory !== undefined;
  const limitBytes = isLimited || hasOwn ? (podLimits(spec).get('memory')?.value() ?? 0) : 0;
  const asked = sizeLimit === undefined ? 0 : Quantity.parse(sizeLimit).value();
  const bounds = [allocatableBytes, limitBytes, asked].filter((bytes) => bytes > 0);
  return bounds.length === 0 ? 0 : Math.min(...bounds);
}

/** `HugePages-2Mi` names its size; plain `HugePages` means the one size that the pod's containers ask for. */
function pageSize({ pod }: VolumeContext, medium: string): string {
  const named = medium.slice('HugePages-'.length);
  const asked = allContainers(pod).flatMap(({ resources }) =>
    Object.keys({ ...resources?.requests, ...resources?.limits }).filter((name) => name.startsWith('hugepages-')),
  );
  const sizes = new Set(named === '' ? asked.map((name) => name.slice('hugepages-'.length)) : [named]);
  const [size] = sizes;
  if (size === undefined || sizes.size > 1)
    throw new VolumeError('medium HugePages can only be used if a container requests huge pages of one size');
  return size.replace(/i$/, '');
}
