import type { Pod } from '#api/object/kinds.ts';
import type { AdmissionRequest } from './admission-plugin.ts';

const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

export const isPodRequest = ({ resource }: AdmissionRequest): boolean =>
  resource.group === '' && resource.resource === 'pods';

export const isPodCreation = (request: AdmissionRequest): boolean =>
  isPodRequest(request) && request.operation === 'CREATE' && request.subresource === '';

/** A static pod's shadow in the API. */
export const isMirrorPod = (pod: Pod): boolean => pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;
