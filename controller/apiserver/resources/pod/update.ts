import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import { equalJson } from '../volatile-update.ts';
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
    if (old.affinity?.nodeAffinity === undefined && spec.affinity?.nodeAffinity !== undefined) {
      const { nodeAffinity: _added, ...rest } = spec.affinity;
      undone.affinity = old.affinity === undefined && Object.keys(rest).length === 0 ? undefined : rest;
    }
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
    .every((before) => now.some((toleration) => equalJson(toleration, before)));
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
  if (!isGated(old) || isSuperset(spec.nodeSelector, old.nodeSelector)) return [];
  const message = 'only additions to spec.nodeSelector are allowed (no mutations or deletions)';
  return [invalid('spec.nodeSelector', spec.nodeSelector ?? {}, message)];
}

function changedFields(spec: PodSpec, old: PodSpec): string {
  const fields = new Set([...Object.keys(spec), ...Object.keys(old)]) as Set<keyof PodSpec>;
  return [...fields]
    .filter((field) => !equalJson(spec[field], old[field]))
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
    return equalJson(container, before)
      ? []
      : [forbiddenField(path, `existing ephemeral containers ${JSON.stringify(before.name)} may not be changed\n`)];
  });
}

/** `subresource`: '' for the pod itself. */
export function validatePodUpdate(pod: Pod, old: Pod, subresource: string): FieldError[] {
  const spec = pod.spec as PodSpec;
  const oldSpec = old.spec as PodSpec;
  if (subresource === 'ephemeralcontainers') return validateEphemeralUpdate(pod, old);
  if (subresource === 'resize') return validatePodResize(pod, old);
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
  if (!equalJson(rest, oldSpec)) {
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

export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  return validateTransitions(
    pod.status?.containerStatuses ?? [],
    old.status?.containerStatuses ?? [],
    old.spec?.restartPolicy,
    'status.containerStatuses',
  );
}
