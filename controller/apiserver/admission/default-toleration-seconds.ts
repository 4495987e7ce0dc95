import type { IToleration } from 'kubernetes-models/v1/Toleration';
import type { Pod } from '#api/object/kinds.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';
import { isPodRequest } from './pod-request.ts';

/** How long a pod stays on a node that is gone, unless it says otherwise: Kubernetes' five minutes. */
const DEFAULT_SECONDS = 300;
const TAINTS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;

const speaksOf = (toleration: IToleration, taintKey: string): boolean =>
  (toleration.key === taintKey || !toleration.key) && (toleration.effect === 'NoExecute' || !toleration.effect);

/** The tolerations that are missing; pure. */
export function missingTolerations(tolerations: readonly IToleration[], seconds = DEFAULT_SECONDS): IToleration[] {
  return TAINTS.filter((key) => !tolerations.some((toleration) => speaksOf(toleration, key))).map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: seconds,
  }));
}

export function defaultTolerationSeconds(): AdmissionPlugin {
  return {
    name: 'DefaultTolerationSeconds',
    handles: (request) =>
      isPodRequest(request) &&
      request.subresource === '' &&
      (request.operation === 'CREATE' || request.operation === 'UPDATE'),
    admit({ object }) {
      const spec = (object as unknown as Pod).spec;
      if (spec === undefined) return;
      const missing = missingTolerations(spec.tolerations ?? []);
      if (missing.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...missing];
    },
  };
}
