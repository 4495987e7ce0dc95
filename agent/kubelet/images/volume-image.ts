import type { Pod } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import { VolumeError } from '../volumes/volume-kind.ts';
import type { ImageRequest } from '../volumes/volume-manager.ts';
import type { ImageManager } from './image-manager.ts';

const VOLUME_PULL_MS = 15 * 60_000;

/** containerd mounts images since 2.1; older runtimes would mount nothing. */
export async function pullVolumeImage(
  { runtime }: KubeletDeps,
  images: ImageManager,
  pod: Pod,
  { volume, reference, policy }: ImageRequest,
): Promise<string> {
  const { name, version } = await runtime.version();
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (name === 'containerd' && (major < 2 || (major === 2 && minor < 1)))
    throw new VolumeError(`image volumes need containerd 2.1, this node has ${version}`);
  const imagePullPolicy = policy as 'Always' | 'IfNotPresent' | 'Never' | undefined;
  const container = { name: volume, image: reference, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) };
  return (await images.ensure(pod, container, AbortSignal.timeout(VOLUME_PULL_MS))).id;
}
