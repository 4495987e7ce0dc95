import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import { validateImmutable } from '../validation/format.ts';
import { validateIp } from '../validation/ip.ts';
import type { Container, ContainerStatus, PodSpec } from './pod-types.ts';
import { validatePodResize } from './resize.ts';
import { validateTolerations } from './scheduling.ts';
import { MIRROR_ANNOTATION } from './validation.ts';

const MAY_CHANGE =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

const withImagesOf = (containers: readonly Container[] | undefined, old: readonly Container[] | undefined) =>
  containers?.map((container, i) => ({ ...container, image: old?.[i]?.image }));

/** The new spec with every field that may change put back: what differs then was not allowed to. */
function withAllowedChangesUndone(spec: PodSpec, old: PodSpec): PodSpec {
  const undone = {
    ...spec,
    containers: withImagesOf(spec.containers, old.containers) as Container[],
    initContainers: withImagesOf(spec.initContainers, old.initContainers) as Container[] | undefined,
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
  };
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) {
    undone.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds;
  }
  if (isGated(old)) {
    undone.nodeSelector = old.nodeSelector;
    const merged = { ...spec.affinity, nodeAffinity: old.affinity?.nodeAffinity };
    const isEmpty = Object.values(merged).every((part) => part === undefined);
    undone.affinity = old.affinity === undefined && isEmpty ? undefined : merged;
  }
  return undone;
}

const isGated = ({ schedulingGates = [] }: PodSpec): boolean => schedulingGates.length > 0;

function isSuperset(labels: Record<string, string> = {}, old: Record<string, string> = {}): boolean {
  return Object.entries(old).every(([key, value]) => labels[key] === value);
}

function validateDeadline(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = 'spec.activeDeadlineSeconds';
  const [now, before] = [spec.activeDeadlineSeconds, old.activeDeadlineSeconds];
  if (before === undefined) return [];
  if (now === undefined) return [invalid(path, now, 'must not update from a positive integer to nil value')];
  return now > before ? [invalid(path, now, 'must be less than or equal to previous value')] : [];
}

/** Tolerations may be added; of those there only the seconds may change. */
function validateTolerationUpdate(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = 'spec.tolerations';
  const strip = ({ tolerationSeconds: _, ...rest }: NonNullable<PodSpec['tolerations']>[number]) => rest;
  const now = (spec.tolerations ?? []).map(strip);
  const kept = (old.tolerations ?? [])
    .map(strip)
    .every((before) => now.some((toleration) => deepEqual(toleration, before)));
  if (!kept) {
    return [forbiddenField(path, 'existing toleration can not be modified except its tolerationSeconds')];
  }
  return validateTolerations(spec.tolerations, path);
}

function validateGates(spec: PodSpec, old: PodSpec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  return (spec.schedulingGates ?? []).flatMap(({ name }, i) =>
    before.has(name)
      ? []
      : [
          forbiddenField(
            `spec.schedulingGates[${i}].name`,
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
  );
}

/** While gates hold a pod back, its choice of nodes may still be narrowed. */
function validateGatedPlacement(spec: PodSpec, old: PodSpec): FieldError[] {
  if (!isGated(old)) return [];
  const message = 'only additions to spec.nodeSelector are allowed (no mutations or deletions)';
  return [
    ...(isSuperset(spec.nodeSelector, old.nodeSelector)
      ? []
      : [invalid('spec.nodeSelector', spec.nodeSelector ?? {}, message)]),
    ...validateNarrowedAffinity(spec, old),
  ];
}

type NodeTerm = NonNullable<
  NonNullable<NonNullable<PodSpec['affinity']>['nodeAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']
>['nodeSelectorTerms'][number];

const termsOf = ({ affinity }: PodSpec): readonly NodeTerm[] =>
  affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];

/** Every term may ask for more, none for less, and none comes or goes: that would widen the choice. */
function validateNarrowedAffinity(spec: PodSpec, old: PodSpec): FieldError[] {
  const path = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  const before = termsOf(old);
  if (before.length === 0) return [];
  const now = termsOf(spec);
  if (now.length !== before.length) {
    return [invalid(path, now, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')];
  }
  const begins = (list: readonly unknown[] = [], start: readonly unknown[] = []) =>
    deepEqual(list.slice(0, start.length), start);
  return now.flatMap((term, i) => {
    const was = before[i] as NodeTerm;
    const isNarrower = begins(term.matchExpressions, was.matchExpressions) && begins(term.matchFields, was.matchFields);
    return isNarrower ? [] : [invalid(`${path}[${i}]`, term, 'only additions are allowed (no mutations or deletions)')];
  });
}

function changedFields(spec: PodSpec, old: PodSpec): string {
  const fields = new Set([...Object.keys(spec), ...Object.keys(old)]) as Set<keyof PodSpec>;
  return [...fields]
    .filter((field) => !deepEqual(spec[field], old[field]))
    .map((field) => `spec.${field}`)
    .sort()
    .join(', ');
}

/** Ephemeral containers are only ever added. */
function validateEphemeralUpdate(pod: Pod, old: Pod): FieldError[] {
  if (old.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) {
    return [forbiddenField('', 'static pods do not support ephemeral containers')];
  }
  const path = 'spec.ephemeralContainers';
  const now = new Map((pod.spec?.ephemeralContainers ?? []).map((container) => [container.name, container]));
  return (old.spec?.ephemeralContainers ?? []).flatMap((before) => {
    const container = now.get(before.name);
    if (container === undefined) {
      return [
        forbiddenField(path, `existing ephemeral containers ${JSON.stringify(before.name)} may not be removed\n`),
      ];
    }
    return deepEqual(container, before)
      ? []
      : [forbiddenField(path, `existing ephemeral containers ${JSON.stringify(before.name)} may not be changed\n`)];
  });
}

const NO_SPEC: PodSpec = { containers: [] };

/** `subresource`: '' for the pod itself. */
export function validatePodUpdate(pod: Pod, old: Pod, subresource: string): FieldError[] {
  const spec = pod.spec ?? NO_SPEC;
  const oldSpec = old.spec ?? NO_SPEC;
  if (subresource === 'ephemeralcontainers') return validateEphemeralUpdate(pod, old);
  if (subresource === 'resize') return validatePodResize(pod, old);
  if (spec === oldSpec) return [];
  for (const list of ['containers', 'initContainers'] as const) {
    if ((spec[list] ?? []).length !== (oldSpec[list] ?? []).length) {
      return [forbiddenField(`spec.${list}`, 'pod updates may not add or remove containers')];
    }
  }
  const emptyImages = (['containers', 'initContainers'] as const).flatMap((list) =>
    (spec[list] ?? []).flatMap((container, i) => (container.image ? [] : [required(`spec.${list}[${i}].image`)])),
  );
  const errors = [
    ...emptyImages,
    ...validateDeadline(spec, oldSpec),
    ...validateTolerationUpdate(spec, oldSpec),
    ...validateGates(spec, oldSpec),
    ...validateGatedPlacement(spec, oldSpec),
  ];
  const rest = withAllowedChangesUndone(spec, oldSpec);
  if (!deepEqual(rest, oldSpec)) {
    errors.push(forbiddenField('spec', `${MAY_CHANGE}\nchanged: ${changedFields(rest, oldSpec)}`));
  }
  return errors;
}

/** A container that ended does not come back where nothing restarts it. */
function validateTransitions(
  now: readonly ContainerStatus[],
  old: readonly ContainerStatus[],
  policy: string | undefined,
  path: string,
): FieldError[] {
  if (policy === 'Always') return [];
  return old.flatMap((before) => {
    const ended = before.state?.terminated;
    if (ended === undefined || (policy === 'OnFailure' && ended.exitCode !== 0)) return [];
    const i = now.findIndex(({ name }) => name === before.name);
    if (i < 0 || now[i]?.state?.terminated !== undefined) return [];
    return [forbiddenField(`${path}[${i}].state`, 'may not be transitioned to non-terminated state')];
  });
}

/** At most one address of each family, the first of which is also the single field of older days. */
function validateAddresses(list: readonly { readonly ip?: string }[], path: string): FieldError[] {
  const errors = list.flatMap(({ ip = '' }, i) => validateIp(ip, `${path}[${i}]`));
  if (errors.length > 0 || list.length < 2) return errors;
  const families = new Set(list.map(({ ip = '' }) => ip.includes(':')));
  return list.length > 2 || families.size < 2
    ? [invalid(path, list, 'may specify no more than one IP for each IP family')]
    : [];
}

export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const { status, spec } = pod;
  return [
    ...validateTransitions(
      status?.containerStatuses ?? [],
      // Containers with a policy of their own come back as that says.
      (old.status?.containerStatuses ?? []).filter(
        ({ name }) => (spec?.containers ?? []).find((one) => one.name === name)?.restartPolicy === undefined,
      ),
      old.spec?.restartPolicy,
      'status.containerStatuses',
    ),
    ...validateAddresses(status?.podIPs ?? [], 'status.podIPs'),
    ...validateAddresses(status?.hostIPs ?? [], 'status.hostIPs'),
    ...(old.status?.qosClass === undefined
      ? []
      : validateImmutable(status?.qosClass, old.status.qosClass, 'status.qosClass')),
  ];
}
