import { badRequest } from '#api/object/api-error.ts';
import { apiVersionOf } from '#api/object/group-version.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { applyConfiguration } from '#api/patch/server-side-apply.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ObjectView } from '../registry/registry-services.ts';
import { updateObject } from '../registry/update-object.ts';
import type { ApiServices, SubresourceTarget } from './api-services.ts';
import { decodeApplied } from './patch.ts';
import type { PatchDocument } from './patch-document.ts';
import type { WriteOptions } from './request-options.ts';

/** Server-side apply of another face of the object: the manager owns the parent's fields that the face shows, under the subresource. */
export function applyFace(
  services: ApiServices,
  target: SubresourceTarget,
  { options, patch }: { readonly options: WriteOptions; readonly patch: PatchDocument },
): Promise<ObjectView> {
  const { context, definition, subresource, namespace, name } = target;
  const given = decodeApplied(services, context, { options, patch }, subresource.kind);
  const named = given.metadata?.name;
  if (named !== undefined && named !== name)
    throw badRequest(`the name of the object (${named}) does not match the name on the URL (${name})`);
  const config = parentConfiguration(target, given);
  const as = subresource.face?.as ?? 'main';
  const manager = options.fieldManager ?? '';
  return updateObject(services, {
    context,
    definition,
    namespace,
    name,
    as,
    subresource: subresource.name,
    face: subresource,
    dryRun: options.dryRun,
    manager,
    keepManagedFields: true,
    change: (live) =>
      copyObject(
        applyConfiguration({
          live,
          config,
          type: services.format.typeOf(definition),
          manager,
          force: options.force,
          apiVersion: apiVersionOf(definition),
          subresource: subresource.name,
          nowMs: services.clock.now(),
          resetFields: [as === 'status' ? 'spec' : 'status'],
        }),
      ),
  });
}

/** What the face says, in the words of the parent: a Scale names its replicas wherever the parent keeps them. */
function parentConfiguration({ definition, subresource }: SubresourceTarget, given: KubeObject): KubeObject {
  const { kind } = subresource.kind;
  if (kind === definition.kind) return given;
  const bare: KubeObject = {
    apiVersion: apiVersionOf(definition),
    kind: definition.kind,
    metadata: given.metadata ?? {},
  };
  const isNamed = isJsonObject(given.spec) && given.spec.replicas !== undefined && given.spec.replicas !== null;
  return isNamed ? (subresource.face?.apply(given, { ...bare, spec: {} }) ?? bare) : bare;
}
