import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { defineResource, STANDARD_VERBS } from '../registry/define-resource.ts';
import { compareVersions } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { type ConversionOptions, createPlainConversion } from './conversion.ts';
import { type CustomFormat, createCustomFormat } from './custom-format.ts';
import { createCustomModels } from './custom-openapi.ts';
import type { CrdVersion, CustomResourceDefinition, JsonSchema } from './custom-resource-definition.ts';
import { createCustomScale } from './custom-scale.ts';
import { createCustomType } from './custom-type.ts';
import { evaluateRules } from './evaluate-rules.ts';
import { parseFieldPath, valueAtPath } from './field-path.ts';
import { keepMetadata } from './keep-metadata.ts';
import { createCustomColumns } from './printer-columns.ts';
import { compileRuleTree, hasRules, type RuleNode } from './rule-program.ts';
import { type CustomValidation, customObjectErrors } from './validate-custom-object.ts';
import { type Converter, createWebhookConversion } from './webhook-conversion.ts';

export interface CustomDefinitionOptions {
  readonly crd: CustomResourceDefinition;
  readonly objectMeta: TypeDef;
  /** Aborted when other definitions, or none, take the place of these. */
  readonly retired: AbortSignal;
  /** Calls conversion webhooks. */
  readonly webhookClient: Converter['client'];
  readonly newUid: () => string;
}

export interface CustomDefinitions {
  /** One for each served version. */
  readonly served: readonly ResourceDefinition[];
  /** That of the storage version, whether it is served or not. */
  readonly storage: ResourceDefinition;
}

/** What a CustomResourceDefinition says, as the registry understands it. Throws for schemas that nobody would accept today. */
export function createCustomDefinitions(options: CustomDefinitionOptions): CustomDefinitions {
  const { crd, objectMeta } = options;
  const { spec } = crd;
  const formats = new Map<string, CustomFormat>();
  for (const version of spec.versions) {
    const gvk = { group: spec.group, version: version.name, kind: spec.names.kind };
    const schema = schemaOf(version);
    formats.set(
      version.name,
      createCustomFormat(createCustomType({ gvk, schema, hasStatus: hasStatus(version), objectMeta }), schema),
    );
  }
  const storage = spec.versions.find((version) => version.storage);
  if (storage === undefined) throw new Error(`${crd.metadata.name} has no storage version`);
  const served = spec.versions.filter((version) => version.served);
  const byVersion = new Map(
    [...served, storage].map((version) => [version, createCustomDefinition(options, version, formats)]),
  );
  return { served: served.map((version) => byVersion.get(version)!), storage: byVersion.get(storage)! };
}

const hasStatus = ({ subresources }: CrdVersion) => subresources?.status !== undefined;

const ANYTHING: JsonSchema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

const schemaOf = (version: CrdVersion): JsonSchema => version.schema?.openAPIV3Schema ?? ANYTHING;

function infoOf({ spec }: CustomResourceDefinition, version: string): ResourceInfo {
  return {
    group: spec.group,
    version,
    resource: spec.names.plural,
    kind: spec.names.kind,
    namespaced: spec.scope === 'Namespaced',
  };
}

function createCustomDefinition(
  options: CustomDefinitionOptions,
  version: CrdVersion,
  formats: ReadonlyMap<string, CustomFormat>,
): ResourceDefinition {
  const { crd, retired } = options;
  const { spec, status } = crd;
  const info = infoOf(crd, version.name);
  const format = formats.get(version.name)!;
  const storage = spec.versions.find((one) => one.storage)!.name;
  const storedAs = { ...infoOf(crd, storage), format: formats.get(storage)! };
  const names = { ...spec.names, ...status?.acceptedNames };
  const { scale } = version.subresources ?? {};
  const validation: CustomValidation = { schema: format.schema, scale, rules: rulesOf(format.schema) };
  const listKind = names.listKind || `${info.kind}List`;
  return defineResource({
    ...info,
    singular: names.singular || info.kind.toLowerCase(),
    listKind,
    verbs:
      crd.metadata.deletionTimestamp !== undefined
        ? STANDARD_VERBS.filter((verb) => verb !== 'create')
        : STANDARD_VERBS,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    storagePrefix: `/registry/${spec.group}/${spec.names.plural}`,
    hasStatus: hasStatus(version),
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    subresources: scale === undefined ? [] : [createCustomScale(scale)],
    format,
    retired,
    ...deprecation(crd, version),
    openApi: createCustomModels(info, listKind, format.schema),
    conversion: createConversion(options, { info, format, storedAs, formats }),
    ...createCustomColumns(version.additionalPrinterColumns ?? []),
    prepareForCreate(object) {
      if (hasStatus(version)) delete object.status;
    },
    prepareForStatusUpdate: keepMetadata,
    validateCreate: (object) => customObjectErrors(validation, object, undefined),
    validateUpdate: (object, old) => customObjectErrors(validation, object, old),
    validateStatusUpdate: (object, old) => customObjectErrors(validation, object, old),
    selectableFields: selectableFieldsOf(version),
  });
}

function createConversion(
  { crd, webhookClient, newUid }: CustomDefinitionOptions,
  options: ConversionOptions,
): NonNullable<ResourceDefinition['conversion']> {
  const { strategy, webhook } = crd.spec.conversion ?? {};
  if (strategy !== 'Webhook' || webhook === undefined) return createPlainConversion(options);
  return createWebhookConversion(options, { client: webhookClient, webhook, newUid });
}

/** The rules of a schema in CEL; undefined where it has none. */
function rulesOf(schema: JsonSchema): CustomValidation['rules'] {
  if (!hasRules(schema)) return undefined;
  // Compiled when first needed: a start with a hundred definitions must not wait for all of their rules.
  let tree: RuleNode | undefined;
  return (object, old) => {
    tree ??= compileRuleTree(schema);
    return tree === undefined ? [] : evaluateRules(tree, object, old);
  };
}

function selectableFieldsOf({ selectableFields = [] }: CrdVersion) {
  const fields = selectableFields.map(({ jsonPath }) => ({
    name: jsonPath.replace(/^\./, ''),
    steps: parseFieldPath(jsonPath) ?? [],
  }));
  return (object: KubeObject): Record<string, string> =>
    Object.fromEntries(
      fields.map(({ name, steps }) => {
        const value = valueAtPath(object, steps);
        return [name, value === undefined || value === null ? '' : String(value)];
      }),
    );
}

function deprecation({ spec }: CustomResourceDefinition, version: CrdVersion): { deprecationWarning?: string } {
  if (version.deprecated !== true) return {};
  if (version.deprecationWarning !== undefined) return { deprecationWarning: version.deprecationWarning };
  const { group, names } = spec;
  const said = (name: string) => `${apiVersionOf({ group, version: name })} ${names.kind}`;
  const better = spec.versions
    .filter((one) => one.served && one.deprecated !== true && compareVersions(one.name, version.name) < 0)
    .map(({ name }) => name)
    .sort(compareVersions)[0];
  const instead = better === undefined ? '' : `; use ${said(better)}`;
  return { deprecationWarning: `${said(version.name)} is deprecated${instead}` };
}
