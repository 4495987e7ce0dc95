import { forbidden } from '#api/object/api-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';
import { isPodCreation } from './pod-request.ts';

type PreemptionPolicy = 'Never' | 'PreemptLowerPriority';

/** The fields of scheduling.k8s.io/v1 PriorityClass that matter here. */
interface PriorityClass {
  readonly metadata: { readonly name: string };
  readonly value: number;
  readonly globalDefault?: boolean;
  readonly preemptionPolicy?: PreemptionPolicy;
}

const PREFIX = '/registry/priorityclasses/';

/** Kubernetes' own classes hold even before their objects are there. */
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

interface Resolved {
  readonly className: string;
  readonly value: number;
  readonly preemptionPolicy: PreemptionPolicy;
}

const PODS = { group: '', resource: 'pods' };
const PREEMPT: PreemptionPolicy = 'PreemptLowerPriority';

/** The global default class; of several the one with the lowest value, as in Kubernetes. */
function defaultClass(classes: Iterable<PriorityClass>): Resolved {
  let best: PriorityClass | undefined;
  for (const candidate of classes) {
    if (candidate.globalDefault && (best === undefined || candidate.value < best.value)) best = candidate;
  }
  return best === undefined
    ? { className: '', value: 0, preemptionPolicy: PREEMPT }
    : { className: best.metadata.name, value: best.value, preemptionPolicy: best.preemptionPolicy ?? PREEMPT };
}

/** Turns priorityClassName into the number that the scheduler compares. */
export function priority({ store }: { readonly store: Store }): AdmissionPlugin {
  const resolve = (className: string): Resolved | undefined => {
    const snapshot = store.snapshot();
    if (className === '') {
      return defaultClass([...snapshot.range(PREFIX)].map((stored) => stored.object() as PriorityClass));
    }
    const found = snapshot.get(`${PREFIX}${className}`)?.object() as PriorityClass | undefined;
    const value = found?.value ?? SYSTEM_CLASSES[className];
    return value === undefined ? undefined : { className, value, preemptionPolicy: found?.preemptionPolicy ?? PREEMPT };
  };
  return {
    name: 'Priority',
    handles: isPodCreation,
    admit({ object, name }) {
      const spec = (object as unknown as Pod).spec;
      if (spec === undefined) return;
      const resolved = resolve(spec.priorityClassName ?? '');
      if (resolved === undefined) {
        throw forbidden(PODS, name, `no PriorityClass with name ${spec.priorityClassName} was found`);
      }
      const { className, value, preemptionPolicy } = resolved;
      if (spec.priority !== undefined && spec.priority !== value) {
        const computed = `priority admission controller computed ${value} from the given PriorityClass name`;
        throw forbidden(
          PODS,
          name,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; ${computed}`,
        );
      }
      if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy) {
        const computed = `priority admission controller computed ${preemptionPolicy} from the given PriorityClass name`;
        throw forbidden(
          PODS,
          name,
          `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${computed}`,
        );
      }
      if (className !== '') spec.priorityClassName = className;
      spec.priority = value;
      spec.preemptionPolicy = preemptionPolicy;
    },
  };
}
