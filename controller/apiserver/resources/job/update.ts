import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Job } from '#api/object/kinds.ts';
import type { PodTemplateSpec } from '../pod/pod-types.ts';
import { FIELD_IMMUTABLE, validateImmutable } from '../validation/format.ts';
import type { JobSpec } from './policies.ts';

const IMMUTABLE = [
  'selector',
  'completionMode',
  'podFailurePolicy',
  'backoffLimitPerIndex',
  'managedBy',
  'successPolicy',
] as const satisfies readonly (keyof JobSpec)[];

function validateCompletions(spec: JobSpec, old: JobSpec): FieldError[] {
  const path = 'spec.completions';
  if (spec.completions === old.completions) return [];
  if (old.completionMode !== 'Indexed') return [invalid(path, spec.completions, FIELD_IMMUTABLE)];
  return spec.completions === spec.parallelism
    ? []
    : [invalid(path, spec.completions, 'can only be modified in tandem with spec.parallelism')];
}

/** Where its pods go and what they get may still be decided while a Job has none: queue controllers do so. */
function isOpenForScheduling({ spec, status }: Job): boolean {
  if (spec?.suspend !== true) return false;
  const isSuspended = (status?.conditions ?? []).some(({ type, status: is }) => type === 'Suspended' && is === 'True');
  return status?.startTime === undefined || isSuspended;
}

/** The old template with everything that may change taken from the new one. */
function withSchedulingOf(template: PodTemplateSpec | undefined, old: PodTemplateSpec): PodTemplateSpec {
  const { spec, metadata } = template ?? {};
  const { affinity: oldAffinity } = old.spec ?? {};
  const nodeAffinity = spec?.affinity?.nodeAffinity;
  const merged = { ...oldAffinity, nodeAffinity };
  const isEmpty = Object.values(merged).every((part) => part === undefined);
  const resourcesOf = (list: 'containers' | 'initContainers') =>
    old.spec?.[list]?.map((container, i) => ({ ...container, resources: spec?.[list]?.[i]?.resources }));
  return {
    ...old,
    metadata: { ...old.metadata, labels: metadata?.labels, annotations: metadata?.annotations },
    spec: {
      ...(old.spec as NonNullable<PodTemplateSpec['spec']>),
      affinity: isEmpty && spec?.affinity === undefined ? undefined : merged,
      nodeSelector: spec?.nodeSelector,
      tolerations: spec?.tolerations,
      schedulingGates: spec?.schedulingGates,
      containers: resourcesOf('containers') ?? [],
      initContainers: resourcesOf('initContainers'),
    } as NonNullable<PodTemplateSpec['spec']>,
  };
}

export function validateJobUpdate(job: Job, old: Job): FieldError[] {
  const [spec, oldSpec] = [job.spec, old.spec];
  if (spec === undefined || oldSpec === undefined) return [];
  const template = isOpenForScheduling(old) ? withSchedulingOf(spec.template, oldSpec.template) : oldSpec.template;
  return [
    ...validateCompletions(spec, oldSpec),
    ...IMMUTABLE.flatMap((field) => validateImmutable(spec[field], oldSpec[field], `spec.${field}`)),
    ...(deepEqual(spec.template, template) ? [] : [invalid('spec.template', spec.template, FIELD_IMMUTABLE)]),
  ];
}
