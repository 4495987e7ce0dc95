import type { IVolume } from 'kubernetes-models/v1/Volume';
import { Quantity } from '#api/meta/quantity.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { applyFsGroup } from './fs-group.ts';
import { type VolumeContext, VolumeError, type VolumeKind } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~empty-dir';
const pathOf = ({ pod, paths }: VolumeContext, volume: IVolume) => paths.volume(pod.metadata.uid, PLUGIN, volume.name);

export const emptyDir: VolumeKind = {
  type: 'directory',
  async setUp(context, volume) {
    const { host, pod } = context;
    const path = pathOf(context, volume);
    const { medium = '', sizeLimit } = volume.emptyDir ?? {};
    const isHuge = medium === 'HugePages' || medium.startsWith('HugePages-');
    if (medium !== '' && medium !== 'Memory' && !isHuge)
      throw new VolumeError(`emptyDir medium ${JSON.stringify(medium)} is not supported by this agent`);
    const isNew = (await host.fs.info(path)) === undefined;
    if (isNew) {
      await host.fs.makeDirectory(path, 0o777);
      // mkdir is subject to the umask.
      await host.fs.chmod(path, 0o777);
    }
    if (medium === 'Memory' && !(await host.mounts.list()).some((mount) => mount.path === path)) {
      const sizeBytes = sizeLimit === undefined ? 0 : Quantity.parse(sizeLimit).value();
      await host.mounts.mountTmpfs(path, { mode: 0o777, ...(sizeBytes > 0 ? { sizeBytes } : {}) });
    }
    if (isHuge && !(await host.mounts.list()).some((mount) => mount.path === path)) {
      const options = [`pagesize=${pageSize(context, medium)}`];
      await host.mounts.mount({ fsType: 'hugetlbfs', source: 'nodev', path, options });
    }
    if (isNew) await applyFsGroup(host.fs, path, specOf(pod).securityContext?.fsGroup);
    return { hostPath: path, readOnly: false };
  },
  async tearDown(context, volume) {
    const path = pathOf(context, volume);
    if (volume.emptyDir?.medium) await context.host.mounts.unmount(path);
    await context.host.fs.remove(path);
  },
};

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
