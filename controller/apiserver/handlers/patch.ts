import { badRequest, conflict, isAlreadyExists, isNotFound, notFound } from '#api/object/api-error.ts';
import { forbiddenField, invalidObject, required } from '#api/object/field-error.ts';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { notOfType } from '#api/patch/check-configuration.ts';
import { applyConfiguration } from '#api/patch/server-side-apply.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { createObject } from '../registry/create-object.ts';
import { fieldManagerOf } from '../registry/field-manager.ts';
import { copyObject } from '../registry/object-meta.ts';
import { resourceName } from '../registry/resource-catalog.ts';
import { updateObject } from '../registry/update-object.ts';
import { answerObject } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { CONTENT_TYPES } from './negotiation.ts';
import { applyPatch, type PatchDocument, readPatch } from './patch-document.ts';
import { checkKind, reportProblems } from './read-body.ts';
import { parseWriteOptions, type WriteOptions } from './request-options.ts';

/** How often an apply that neither finds nor may create its object looks again. */
const MAX_APPLY_TRIES = 3;

/** PATCH of an object or of its status, of all four kinds. */
export async function handlePatch(
  services: ApiServices,
  target: ResourceTarget,
  as: 'main' | 'status' = 'main',
): Promise<void> {
  const { context } = target;
  const options = parseWriteOptions(context.info.query, 'PatchOptions');
  const patch = await readPatch(context, target.definition);
  checkOptions(patch, options, context.info.query.has('force'));
  if (patch.kind === 'apply') await handleApply(services, target, { options, as, patch });
  else await patchObject(services, target, { options, as, patch });
}

interface Patching {
  readonly options: WriteOptions;
  readonly as: 'main' | 'status';
  readonly patch: PatchDocument;
}

export function checkOptions(patch: PatchDocument, options: WriteOptions, hasForce: boolean): void {
  const kind = { group: 'meta.k8s.io', version: 'v1', kind: 'PatchOptions' };
  if (patch.kind === 'apply') {
    if (options.fieldManager) return;
    throw invalidObject(kind, '', [required('fieldManager', 'is required for apply patch')]);
  }
  if (hasForce) throw invalidObject(kind, '', [forbiddenField('force', 'may not be specified for non-apply patch')]);
}

async function patchObject(
  services: ApiServices,
  target: ResourceTarget,
  { options, as, patch }: Patching,
): Promise<void> {
  const { context, definition, namespace, name } = target;
  const view = await updateObject(services, {
    context,
    definition,
    namespace,
    name,
    as,
    subresource: as === 'status' ? 'status' : '',
    dryRun: options.dryRun,
    manager: fieldManagerOf(context, options.fieldManager),
    change: (current) => {
      const decoded = services.format.decodeValue(applyPatch(services, current, patch, definition), definition);
      reportProblems(context, definition, decoded, options.fieldValidation);
      checkKind(decoded.object, definition);
      return decoded.object;
    },
  });
  answerObject(services, context, definition, { status: 200, view });
}

/** Server-side apply: creates what is not there. Creation and update may race with others, so a lost race starts over. */
async function handleApply(services: ApiServices, target: ResourceTarget, patching: Patching): Promise<void> {
  const config = decodeConfiguration(services, target, patching);
  for (let tries = 1; ; tries++) {
    try {
      await applyToExisting(services, target, patching, config);
      return;
    } catch (err) {
      if (!isNotFound(err)) throw err;
      if (patching.as === 'status') throw notFound(resourceName(target.definition), target.name);
    }
    try {
      await applyAsNew(services, target, patching, config);
      return;
    } catch (err) {
      if (!isAlreadyExists(err) || tries === MAX_APPLY_TRIES) throw err;
    }
  }
}

/** The body of an apply, as given. Throws 400 for what is none of `gvk`, unknown fields included, whatever the client thinks of them. */
export function decodeApplied(
  services: ApiServices,
  context: RequestContext,
  { patch, options }: Pick<Patching, 'patch' | 'options'>,
  gvk: GroupVersionKind,
): KubeObject {
  const decoded = services.format.decode(patch.bytes, CONTENT_TYPES.yaml, gvk);
  const { given } = decoded;
  const expected = apiVersionOf(gvk);
  const { unnamed = [] } = decoded;
  const apiVersion = unnamed.includes('apiVersion') ? '' : decoded.object.apiVersion;
  if (apiVersion !== expected) {
    const why = `Specified patch version: ${apiVersion}, expected: ${expected}`;
    throw badRequest(`Incorrect version specified in apply patch. ${why}`);
  }
  if (unnamed.includes('kind')) throw badRequest(`the applied object has no kind: it must be ${gvk.kind}`);
  checkKind(decoded.object, gvk);
  const unknown = decoded.problems.flatMap((problem) => UNKNOWN_FIELD.exec(problem)?.[1] ?? []);
  if (unknown.length > 0)
    throw notOfType(
      given,
      unknown.map((path) => `.${path}: field not declared in schema`),
    );
  reportProblems(context, gvk, decoded, options.fieldValidation);
  return given;
}

const UNKNOWN_FIELD = /^unknown field "(.*)"$/;

function decodeConfiguration(services: ApiServices, target: ResourceTarget, patching: Patching): KubeObject {
  const { definition, context } = target;
  const config = decodeApplied(services, context, patching, definition);
  const { name } = config.metadata ?? {};
  if (name !== undefined && name !== target.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
  }
  return config;
}

async function applyToExisting(
  services: ApiServices,
  target: ResourceTarget,
  { options, as }: Patching,
  config: KubeObject,
): Promise<void> {
  const { context, definition, namespace, name } = target;
  const subresource = as === 'status' ? 'status' : '';
  const view = await updateObject(services, {
    context,
    definition,
    namespace,
    name,
    as,
    subresource,
    dryRun: options.dryRun,
    manager: options.fieldManager ?? '',
    keepManagedFields: true,
    change: (live) => merge(services, target, { live, config, options, subresource }),
  });
  answerObject(services, context, definition, { status: 200, view });
}

async function applyAsNew(
  services: ApiServices,
  target: ResourceTarget,
  { options }: Patching,
  config: KubeObject,
): Promise<void> {
  const { context, definition, namespace, name } = target;
  const { uid } = config.metadata ?? {};
  if (uid) {
    const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
    throw conflict(resourceName(definition), name, why);
  }
  context.requireAlso?.('create');
  const object = merge(services, target, { live: undefined, config, options, subresource: '' });
  const view = await createObject(services, {
    context,
    definition,
    namespace,
    object,
    dryRun: options.dryRun,
    manager: options.fieldManager ?? '',
    keepManagedFields: true,
  });
  answerObject(services, context, definition, { status: 201, view });
}

interface Merge {
  readonly live: KubeObject | undefined;
  readonly config: KubeObject;
  readonly options: WriteOptions;
  readonly subresource: string;
}

/** A private copy: what does not change is shared with the live object, which belongs to everybody. */
function merge(
  services: ApiServices,
  { definition }: ResourceTarget,
  { live, config, options, subresource }: Merge,
): KubeObject {
  const applied = applyConfiguration({
    live,
    config,
    type: services.format.typeOf(definition),
    manager: options.fieldManager ?? '',
    force: options.force,
    apiVersion: apiVersionOf(definition),
    subresource,
    nowMs: services.clock.now(),
  });
  return copyObject(applied);
}
