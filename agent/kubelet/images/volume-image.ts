import type { Pod } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import { specOf } from '../pod-spec.ts';
import { VolumeError } from '../volumes/volume-kind.ts';
import type { ImageRequest } from '../volumes/volume-manager.ts';
import type { ImageManager } from './image-manager.ts';

const VOLUME_PULL_MS = 15 * 60_000;

/**
 * containerd mounts images since 2.1, and folders of them since 2.2; older ones mount nothing, or the whole image in the place of its folder,
 * without a word.
 */
export async function pullVolumeImage(
  { runtime }: Pick<KubeletDeps, 'runtime'>,
  images: Pick<ImageManager, 'ensure'>,
  pod: Pod,
  { volume, reference, policy, signal }: ImageRequest,
): Promise<string> {
  const { name, version } = await runtime.version();
  if (name === 'containerd') {
    if (isBefore(version, [2, 1])) throw new VolumeError(`image volumes need containerd 2.1, this node has ${version}`);
    if (isBefore(version, [2, 2]) && hasSubPath(pod, volume))
      throw new VolumeError(`subPath of image volumes needs containerd 2.2, this node has ${version}`);
  }
  const imagePullPolicy = policy as 'Always' | 'IfNotPresent' | 'Never' | undefined;
  const demand = { image: reference, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) };
  const late = AbortSignal.timeout(VOLUME_PULL_MS);
  return (await images.ensure(pod, demand, signal === undefined ? late : AbortSignal.any([late, signal]))).id;
}

function isBefore(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ourMajor = 0, ourMinor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return ourMajor < major || (ourMajor === major && ourMinor < minor);
}

function hasSubPath(pod: Pod, volume: string): boolean {
  const { containers = [], initContainers = [] } = specOf(pod);
  return [...containers, ...initContainers]
    .flatMap(({ volumeMounts = [] }) => volumeMounts)
    .some((mount) => mount.name === volume && Boolean(mount.subPath || mount.subPathExpr));
}
