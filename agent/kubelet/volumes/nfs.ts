import type { IVolume } from 'kubernetes-models/v1/Volume';
import { type VolumeContext, VolumeError, type VolumeKind } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~nfs';
/** A server that is away keeps `mount` busy for long; the pod tries again. */
const TIMEOUT_MS = 120_000;

const pathOf = ({ pod, paths }: VolumeContext, volume: IVolume) => paths.volume(pod.metadata.uid, PLUGIN, volume.name);

export const nfs: VolumeKind = {
  type: 'directory',
  measuredBy: 'server',
  async setUp(context, volume) {
    const { host } = context;
    const { server = '', path: exported = '', readOnly = false } = volume.nfs ?? {};
    const { mountOptions = [] } = (volume.nfs ?? {}) as { mountOptions?: readonly string[] };
    if (server === '' || exported === '') throw new VolumeError('an NFS volume needs a server and a path');
    const path = pathOf(context, volume);
    if (!(await host.mounts.list()).some((mount) => mount.path === path)) {
      if ((await host.exec.find('mount.nfs')) === undefined)
        throw new VolumeError('this host has no mount.nfs: install the NFS client of its distribution (nfs-common)');
      await host.fs.makeDirectory(path, 0o750);
      const options = [...mountOptions, ...(readOnly ? ['ro'] : [])];
      const source = `${server.includes(':') ? `[${server}]` : server}:${exported}`;
      await host.mounts.mount({ fsType: 'nfs', source, path, options, timeoutMs: TIMEOUT_MS, inScope: true });
    }
    return { hostPath: path, readOnly };
  },
};
