import { computeQosClass } from '#api/meta/pod-resources.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid } from '#api/object/field-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { SubresourceDefinition } from '../../registry/resource-definition.ts';
import { type Container, isRestartableInit, type PodSpec } from './pod-types.ts';
import type { ResourceRequirements } from './resource-requirements.ts';
import { MIRROR_ANNOTATION } from './validation.ts';

const LISTS = ['containers', 'initContainers'] as const;
const RESIZABLE = ['cpu', 'memory'];
const ONLY_CPU_AND_MEMORY = 'only cpu and memory resources are mutable';

const nameAll = (containers: readonly Container[] | undefined): readonly string[] =>
  (containers ?? []).map(({ name }) => name);

/** The old containers with what a resize may carry; lists that do not fit are passed on for validation to refuse. */
function withSizesOf(wanted: readonly Container[] | undefined, old: readonly Container[] | undefined): unknown {
  if (!deepEqual(nameAll(wanted), nameAll(old))) return wanted;
  return old?.map((container, i) => {
    const { resources, resizePolicy } = wanted?.[i] ?? container;
    return { ...container, resources, resizePolicy };
  });
}

/** `kubectl edit --subresource=resize`: other requests and limits for a pod that runs. Nothing else of the body counts. */
export const podResize: SubresourceDefinition = {
  name: 'resize',
  verbs: ['get', 'patch', 'update'],
  kind: { group: '', version: 'v1', kind: 'Pod' },
  face: {
    get: (pod) => pod,
    apply(face, pod): KubeObject {
      const wanted = (face.spec ?? {}) as Partial<PodSpec>;
      const spec = pod.spec as PodSpec;
      const sizes = Object.fromEntries(LISTS.map((list) => [list, withSizesOf(wanted[list], spec[list])]));
      return { ...pod, spec: { ...spec, ...sizes, resources: wanted.resources } };
    },
  },
};

/** Requirements of which nothing but the amounts that may change is looked at. */
function withoutSizes(resources: ResourceRequirements | undefined): unknown {
  const rest = (list: ResourceRequirements['limits']) => {
    const kept = Object.entries(list ?? {}).filter(([name]) => !RESIZABLE.includes(name));
    return kept.length === 0 ? undefined : Object.fromEntries(kept);
  };
  const { limits, requests, ...others } = resources ?? {};
  return { ...others, limits: rest(limits), requests: rest(requests) };
}

const sizesOf = ({ resources }: { readonly resources?: unknown }) => resources as ResourceRequirements | undefined;

/** Amounts may change but not go: nobody would know what then holds. */
function validateRemoval(
  now: ResourceRequirements | undefined,
  old: ResourceRequirements | undefined,
  path: string,
): FieldError[] {
  return (['limits', 'requests'] as const).flatMap((list) => {
    const isGone = RESIZABLE.some((name) => old?.[list]?.[name] !== undefined && now?.[list]?.[name] === undefined);
    return isGone ? [forbiddenField(`${path}.${list}`, `resource ${list} cannot be removed`)] : [];
  });
}

function isOnlyResized(container: Container, old: Container): boolean {
  const strip = (one: Container) => ({ ...one, resources: withoutSizes(sizesOf(one)) });
  return deepEqual(strip(container), strip(old));
}

function validateList(
  now: readonly Container[] | undefined,
  old: readonly Container[] | undefined,
  path: string,
): FieldError[] {
  const names = nameAll(old);
  if ((now ?? []).length !== names.length) {
    return [forbiddenField(path, 'containers may not be added or removed on resize')];
  }
  const moved = (now ?? []).findIndex(({ name }, i) => name !== names[i]);
  if (moved >= 0) {
    return [forbiddenField(`${path}[${moved}].name`, 'containers may not be renamed or reordered on resize')];
  }
  return (now ?? []).flatMap((container, i) => {
    const before = old?.[i] as Container;
    const at = `${path}[${i}].resources`;
    const isInit = path.endsWith('initContainers') && !isRestartableInit(before);
    if (isInit) {
      return deepEqual(container, before)
        ? []
        : [forbiddenField(at, 'resources for non-sidecar init containers are immutable')];
    }
    return [
      ...validateRemoval(sizesOf(container), sizesOf(before), at),
      ...(isOnlyResized(container, before) ? [] : [forbiddenField('spec', ONLY_CPU_AND_MEMORY)]),
    ];
  });
}

/** A node that says what its containers have also knows how to change it. */
function isSupportedByNode({ status }: Pod): boolean {
  const running = (status?.containerStatuses ?? []).find(({ state }) => state?.running !== undefined);
  return running === undefined || running.resources !== undefined;
}

function refusal(old: Pod): string | undefined {
  if (old.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return 'static pods cannot be resized';
  if (old.spec?.os?.name === 'windows') return 'windows pods cannot be resized';
  return isSupportedByNode(old) ? undefined : 'Pod running on node without support for resize';
}

const qosOf = ({ spec }: Pod): string => computeQosClass({ ...spec, containers: spec?.containers ?? [] });

/** Requests and limits of a running pod move within its class, and nothing moves beside them. */
export function validatePodResize(pod: Pod, old: Pod): FieldError[] {
  const why = refusal(old);
  if (why !== undefined) return [forbiddenField('', why)];
  const [spec, oldSpec] = [pod.spec as PodSpec, old.spec as PodSpec];
  const errors = LISTS.flatMap((list) => validateList(spec[list], oldSpec[list], `spec.${list}`));
  const [podSizes, oldPodSizes] = [sizesOf(spec), sizesOf(oldSpec)];
  errors.push(...validateRemoval(podSizes, oldPodSizes, 'spec.resources'));
  if (!deepEqual(withoutSizes(podSizes), withoutSizes(oldPodSizes))) {
    errors.push(forbiddenField('spec.resources', ONLY_CPU_AND_MEMORY));
  }
  const oldClass = old.status?.qosClass ?? qosOf(old);
  if (errors.length === 0 && qosOf(pod) !== oldClass) {
    errors.push(invalid('spec', qosOf(pod), 'Pod QOS Class may not change as a result of resizing'));
  }
  return errors;
}
