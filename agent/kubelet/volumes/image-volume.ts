import { VolumeError, type VolumeKind } from './volume-kind.ts';

/** The content of an image, read-only; the runtime mounts it. */
export const imageVolume: VolumeKind = {
  type: 'directory',
  async setUp({ pullImage }, volume) {
    const { reference = '', pullPolicy } = volume.image ?? {};
    if (reference === '') throw new VolumeError(`volume "${volume.name}" names no image`);
    return { hostPath: '', readOnly: true, imageId: await pullImage(volume.name, reference, pullPolicy) };
  },
};
