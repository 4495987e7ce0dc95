import { ApiError, badRequest } from '#api/object/api-error.ts';
import { invalid, invalidObject } from '#api/object/field-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { setOwn } from '#api/object/own-property.ts';
import type { SubresourceDefinition } from '../registry/resource-definition.ts';
import { scaleTable } from '../resources/scale.ts';
import type { ScalePaths } from './custom-resource-definition.ts';
import { dottedSteps, valueAtPath } from './field-path.ts';

/** Stands in a scale for a number that the object has never had: a patch must say one. */
const NEVER_SET = -2_147_483_648;

/** The scale of a custom kind: its numbers lie where the definition says. */
export function createCustomScale(paths: ScalePaths): SubresourceDefinition {
  const specSteps = dottedSteps(paths.specReplicasPath);
  const statusSteps = dottedSteps(paths.statusReplicasPath);
  const selectorSteps = dottedSteps(paths.labelSelectorPath ?? '');
  const field = JSON.stringify(paths.specReplicasPath);
  const replicasOf = (object: KubeObject): number | undefined => {
    const replicas = valueAtPath(object, specSteps);
    return typeof replicas === 'number' ? replicas : undefined;
  };
  const scaleOf = (object: KubeObject, replicas: number): KubeObject => {
    const observed = valueAtPath(object, statusSteps);
    const selector = selectorSteps.length === 0 ? undefined : valueAtPath(object, selectorSteps);
    const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
    return {
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
      spec: replicas === 0 ? {} : { replicas },
      status: {
        replicas: typeof observed === 'number' ? observed : 0,
        ...(typeof selector === 'string' && selector !== '' ? { selector } : {}),
      },
    };
  };
  return {
    name: 'scale',
    verbs: ['get', 'patch', 'update'],
    kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
    face: {
      table: scaleTable,
      get(object) {
        const replicas = replicasOf(object);
        if (replicas !== undefined) return scaleOf(object, replicas);
        throw new ApiError(
          500,
          'InternalError',
          `Internal error occurred: the spec replicas field ${field} does not exist`,
        );
      },
      beforeChange: (object) => scaleOf(object, replicasOf(object) ?? NEVER_SET),
      apply(face, object) {
        const { replicas = 0 } = (face.spec ?? {}) as { replicas?: number };
        if (replicas === NEVER_SET) throw badRequest(`the spec replicas field ${field} cannot be empty`);
        if (replicas < 0) {
          const finding = invalid('spec.replicas', replicas, 'must be greater than or equal to 0');
          throw invalidObject({ group: 'autoscaling', version: 'v1', kind: 'Scale' }, object.metadata.name ?? '', [
            finding,
          ]);
        }
        setAtPath(object, specSteps, replicas);
        return object;
      },
    },
  };
}

function setAtPath(object: KubeObject, steps: readonly string[], value: unknown): void {
  let target: JsonObject = object;
  for (const step of steps.slice(0, -1)) {
    if (!isJsonObject(target[step])) setOwn(target, step, {});
    target = target[step] as JsonObject;
  }
  setOwn(target, steps.at(-1)!, value);
}
