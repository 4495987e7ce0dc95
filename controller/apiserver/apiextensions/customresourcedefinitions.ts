import type { JsonObject } from '#api/object/json.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { toTime } from '#base/clock.ts';
import { defineResource } from '../registry/define-resource.ts';
import {
  CLEANUP_FINALIZER,
  CRD_GROUP,
  type CrdNames,
  type CrdSpec,
  type CrdVersion,
  type CustomResourceDefinition,
  isConditionTrue,
  withCondition,
} from './custom-resource-definition.ts';
import { keepMetadata } from './keep-metadata.ts';
import { decodeNestedSchemas } from './nested-schemas.ts';
import { crdErrors, crdNameErrors, crdStatusErrors } from './validate-crd.ts';

export const customResourceDefinitions = defineResource<CustomResourceDefinition>({
  group: CRD_GROUP,
  version: 'v1',
  resource: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  storagePrefix: '/registry/apiextensions.k8s.io/customresourcedefinitions',
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  applyDefaults,
  prepareForCreate(crd) {
    crd.status = {};
    rememberStorageVersion(crd);
  },
  prepareForUpdate: (crd) => rememberStorageVersion(crd),
  validate: (crd) => crdNameErrors(crd),
  validateCreate: (crd) => crdErrors(crd),
  validateUpdate: (crd, old) => crdErrors(crd, old),
  prepareForStatusUpdate: keepMetadata,
  validateStatusUpdate: (crd) => crdStatusErrors(crd),
  isHeld: ({ metadata }) => metadata.deletionTimestamp === undefined,
  prepareForDelete(object) {
    const crd = object as CustomResourceDefinition;
    const { metadata } = crd;
    if (metadata.finalizers?.includes(CLEANUP_FINALIZER) !== true) {
      metadata.finalizers = [...(metadata.finalizers ?? []), CLEANUP_FINALIZER];
    }
    const message =
      'CustomResourceDefinition marked for deletion; CustomResource deletion will be initiated as soon as possible';
    const condition = { type: 'Terminating', status: 'True', reason: 'InstanceDeletionPending', message } as const;
    const nowTime = metadata.deletionTimestamp ?? toTime(0);
    crd.status = { ...crd.status, conditions: withCondition(crd.status?.conditions ?? [], condition, nowTime) };
  },
});

const NO_NAMES: CrdNames = { plural: '', kind: '' };
const NO_VERSION: CrdVersion = { name: '', served: false, storage: false };
const JSON_SCHEMA = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps';

/** What is absent has the zero value that Go would have there, so that nothing behind has to look. */
function applyDefaults(crd: CustomResourceDefinition): void {
  const given: Partial<CrdSpec> = crd.spec ?? {};
  const names: CrdNames = { ...NO_NAMES, ...(given.names as Partial<CrdNames> | undefined) };
  const versions = ((given.versions ?? []) as readonly Partial<CrdVersion>[]).map((version) => ({
    ...NO_VERSION,
    ...version,
  }));
  crd.spec = { group: '', scope: '', ...given, names, versions };
  if (!names.singular && names.kind) names.singular = names.kind.toLowerCase();
  if (!names.listKind && names.kind) names.listKind = `${names.kind}List`;
  crd.spec.conversion ??= { strategy: 'None' };
  const service = crd.spec.conversion.webhook?.clientConfig?.service as { port?: number } | undefined;
  if (service !== undefined) service.port ??= 443;
  const type = builtinTypes().byName(JSON_SCHEMA);
  for (const { schema } of crd.spec.versions) {
    if (type !== undefined && schema?.openAPIV3Schema !== undefined) {
      decodeNestedSchemas(schema.openAPIV3Schema as JsonObject, type);
    }
  }
}

/** Objects may be stored in every version that ever was the storage version, until somebody says that they were migrated. */
function rememberStorageVersion(crd: CustomResourceDefinition): void {
  const storage = crd.spec.versions.find((version) => version.storage)?.name;
  const stored = crd.status?.storedVersions ?? [];
  if (storage === undefined || stored.includes(storage)) return;
  crd.status = { ...crd.status, storedVersions: [...stored, storage] };
}

/** Served while its names are its own, until its last object is gone. */
export function isServed(crd: CustomResourceDefinition): boolean {
  return isConditionTrue(crd, 'NamesAccepted') || isConditionTrue(crd, 'Established');
}
