import type { IRuntimeClass } from 'kubernetes-models/node.k8s.io/v1/RuntimeClass';
import type { IToleration } from 'kubernetes-models/v1/Toleration';
import { forbidden } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';
import { isPodCreation } from './pod-request.ts';

type PodSpec = NonNullable<Pod['spec']>;

const refuse = ({ name }: AdmissionRequest, why: string) => forbidden({ group: '', resource: 'pods' }, name, why);

/** Gives a pod what its RuntimeClass says of all its pods: the overhead of the sandbox, and where it can run. */
export function runtimeClass({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  const classOf = (request: AdmissionRequest, { runtimeClassName }: PodSpec): IRuntimeClass | undefined => {
    if (runtimeClassName === undefined) return undefined;
    const found = store.snapshot().get(`/registry/runtimeclasses/${runtimeClassName}`)?.object();
    if (found !== undefined) return found as IRuntimeClass;
    throw refuse(request, `pod rejected: RuntimeClass ${JSON.stringify(runtimeClassName)} not found`);
  };
  return {
    name: 'RuntimeClass',
    handles: isPodCreation,
    admit(request) {
      const { spec } = request.object as unknown as Pod;
      if (spec === undefined) return;
      const found = classOf(request, spec);
      const overhead = found?.overhead?.podFixed;
      if (found?.overhead !== undefined) {
        if (Object.keys(spec.overhead ?? {}).length > 0 && !deepEqual(spec.overhead, overhead)) {
          throw refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
        }
        if (overhead !== undefined) spec.overhead = { ...overhead };
      }
      mergeScheduling(request, spec, found?.scheduling);
    },
    validate(request) {
      const { spec } = request.object as unknown as Pod;
      if (Object.keys(spec?.overhead ?? {}).length === 0 || spec === undefined) return;
      if (classOf(request, spec)?.overhead !== undefined) return;
      throw refuse(request, 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
    },
  };
}

function mergeScheduling(request: AdmissionRequest, spec: PodSpec, scheduling: IRuntimeClass['scheduling']): void {
  if (scheduling === undefined) return;
  for (const [key, value] of Object.entries(scheduling.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      const conflict = `runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`;
      throw refuse(request, `conflict: ${conflict}`);
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const tolerations: readonly IToleration[] = scheduling.tolerations ?? [];
  const missing = tolerations.filter((one) => !(spec.tolerations ?? []).some((own) => deepEqual(own, one)));
  if (missing.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...missing];
}
