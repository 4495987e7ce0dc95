import type { IVolume } from 'kubernetes-models/v1/Volume';
import { Quantity } from '#api/meta/quantity.ts';
import { specOf } from '../pod-spec.ts';
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
    if (medium !== '' && medium !== 'Memory')
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
    if (isNew) await applyFsGroup(host.fs, path, specOf(pod).securityContext?.fsGroup);
    return { hostPath: path, readOnly: false };
  },
  async tearDown(context, volume) {
    const path = pathOf(context, volume);
    if (volume.emptyDir?.medium === 'Memory') await context.host.mounts.unmount(path);
    await context.host.fs.remove(path);
  },
};
