import type { Pod } from '#api/object/kinds.ts';
import type { AdmissionTarget } from './admission-plugin.ts';

const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

export const isPodRequest = ({ resource }: AdmissionTarget): boolean =>
  resource.group === '' && resource.resource === 'pods';

export const isPodCreation = (request: AdmissionTarget): boolean =>
  isPodRequest(request) && request.operation === 'CREATE' && request.subresource === '';

/** A static pod's shadow in the API. */
export const isMirrorPod = (pod: Pod): boolean => pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;
