import { dns1035Label, dns1123Subdomain } from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from '#api/object/field-error.ts';
import { approvalErrors } from './api-approval.ts';
import {
  type CrdConversion,
  type CrdNames,
  type CrdSpec,
  type CrdVersion,
  type CustomResourceDefinition,
  isConditionTrue,
  type JsonSchema,
} from './custom-resource-definition.ts';
import { schemaAtPath } from './field-path.ts';
import { defaultErrors } from './validate-defaults.ts';
import { ruleErrors } from './validate-rules.ts';
import { schemaErrors } from './validate-schema.ts';
import { structuralErrors } from './validate-structural.ts';

/** Findings on a new definition, or on a changed one where `old` is given. */
export function crdErrors(crd: CustomResourceDefinition, old?: CustomResourceDefinition): FieldError[] {
  const { spec } = crd;
  return [
    ...specErrors(spec, 'spec', old?.spec),
    ...namesErrors(crd.status?.acceptedNames ?? {}, 'status.acceptedNames'),
    ...storedVersionErrors(crd),
    ...approvalErrors(crd, old),
    ...preserveErrors(spec, old?.spec),
    ...(old === undefined ? [] : immutableErrors(crd, old)),
  ];
}

/** Findings on a changed status; what an older server let into the spec is not its fault. */
export function crdStatusErrors(crd: CustomResourceDefinition): FieldError[] {
  return [...namesErrors(crd.status?.acceptedNames ?? {}, 'status.acceptedNames'), ...storedVersionErrors(crd)];
}

/** A definition is called by what it defines. */
export function crdNameErrors({ spec, metadata }: CustomResourceDefinition): FieldError[] {
  const name = metadata.name ?? '';
  if (name === `${spec.names.plural}.${spec.group}`) return [];
  return [invalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group')];
}

const SCOPES: readonly string[] = ['Cluster', 'Namespaced'];

function specErrors(spec: CrdSpec, path: string, old: CrdSpec | undefined): FieldError[] {
  const { group, scope, versions, names, conversion } = spec;
  const errors: FieldError[] = [];
  if (!group) errors.push(required(`${path}.group`));
  else if (dns1123Subdomain(group).length > 0) {
    errors.push(invalid(`${path}.group`, group, dns1123Subdomain(group).join(',')));
  } else if (!group.includes('.')) {
    errors.push(invalid(`${path}.group`, group, 'should be a domain with at least one dot'));
  }
  if (!scope) errors.push(required(`${path}.scope`));
  else if (!SCOPES.includes(scope)) errors.push(notSupported(`${path}.scope`, scope, SCOPES));
  for (const [i, version] of versions.entries()) {
    if (version.schema?.openAPIV3Schema !== undefined) continue;
    errors.push(required(`${path}.versions[${i}].schema.openAPIV3Schema`, 'schemas are required'));
  }
  for (const [i, version] of versions.entries()) {
    const former = old?.versions.find(({ name }) => name === version.name);
    errors.push(...versionErrors(version, `${path}.versions[${i}]`, former));
  }
  if (new Set(versions.map(({ name }) => name)).size < versions.length) {
    errors.push(invalid(`${path}.versions`, versions, 'must contain unique version names'));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    const detail = 'must have exactly one version marked as storage version';
    errors.push(invalid(`${path}.versions`, versions, detail));
  }
  for (const name of ['plural', 'singular', 'kind', 'listKind'] as const) {
    if (!names[name]) errors.push(required(`${path}.names.${name}`));
  }
  errors.push(...namesErrors(names, `${path}.names`));
  if (conversion !== undefined) errors.push(...conversionErrors(conversion, `${path}.conversion`));
  return errors;
}

function namesErrors(names: Partial<CrdNames>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (field: string, value: string | undefined, mixedCase: boolean) => {
    if (value === undefined || value === '') return;
    const why = dns1035Label(mixedCase ? value.toLowerCase() : value).join(',');
    if (why === '') return;
    const detail = mixedCase ? `may have mixed case, but should otherwise match: ${why}` : why;
    errors.push(invalid(`${path}.${field}`, value, detail));
  };
  check('plural', names.plural, false);
  check('singular', names.singular, false);
  check('kind', names.kind, true);
  check('listKind', names.listKind, true);
  for (const [i, name] of (names.shortNames ?? []).entries()) check(`shortNames[${i}]`, name, false);
  if (names.kind && names.kind === names.listKind) {
    errors.push(invalid(`${path}.listKind`, names.listKind, 'kind and listKind may not be the same'));
  }
  for (const [i, name] of (names.categories ?? []).entries()) check(`categories[${i}]`, name, false);
  return errors;
}

function versionErrors(version: CrdVersion, path: string, old: CrdVersion | undefined): FieldError[] {
  const { name, schema, subresources, additionalPrinterColumns = [] } = version;
  const errors: FieldError[] = [];
  const why = dns1035Label(name);
  if (why.length > 0) errors.push(invalid(`${path}.name`, name, why.join(',')));
  errors.push(...deprecationErrors(version, path));
  if (schema?.openAPIV3Schema !== undefined) {
    const at = `${path}.schema.openAPIV3Schema`;
    const found = rootSchemaErrors(schema.openAPIV3Schema, subresources?.status !== undefined, at);
    errors.push(...found);
    // Rules over a schema that is wrong itself only confuse; those that were accepted once stay.
    if (found.length === 0 && !deepEqual(schema, old?.schema)) errors.push(...ruleErrors(schema.openAPIV3Schema, at));
  }
  if (subresources?.scale !== undefined) errors.push(...scaleErrors(subresources.scale, `${path}.subresources`));
  for (const [i, column] of additionalPrinterColumns.entries()) {
    errors.push(...columnErrors(column, `${path}.additionalPrinterColumns[${i}]`));
  }
  errors.push(...selectableErrors(version, `${path}.selectableFields`));
  return errors;
}

function deprecationErrors({ deprecated, deprecationWarning }: CrdVersion, path: string): FieldError[] {
  if (deprecationWarning === undefined) return [];
  const at = `${path}.deprecationWarning`;
  if (deprecated !== true) return [invalid(at, deprecationWarning, 'can only be set for deprecated versions')];
  const errors: FieldError[] = [];
  if (Buffer.byteLength(deprecationWarning) > 256) {
    errors.push(invalid(at, deprecationWarning, 'must be <= 256 characters long'));
  }
  if (deprecationWarning === '') errors.push(invalid(at, deprecationWarning, 'must not be an empty string'));
  const unprintable = [...deprecationWarning].findIndex((char) => /\p{C}/u.test(char));
  if (unprintable >= 0) {
    const detail = `must only contain printable UTF-8 characters; non-printable character found at index ${unprintable}`;
    errors.push(invalid(at, deprecationWarning, detail));
  }
  return errors;
}

/** With a status subresource the status part of the schema must stand for itself: these fields may stand beside it. */
const ROOT_FIELDS: readonly string[] = [
  'Description',
  'Type',
  'Format',
  'Title',
  'Maximum',
  'ExclusiveMaximum',
  'Minimum',
  'ExclusiveMinimum',
  'MaxLength',
  'MinLength',
  'Pattern',
  'MaxItems',
  'MinItems',
  'UniqueItems',
  'MultipleOf',
  'Required',
  'Items',
  'Properties',
  'ExternalDocs',
  'Example',
  'XPreserveUnknownFields',
  'XValidations',
];
const ROOT_FIELD_NAMES: ReadonlySet<string> = new Set([
  ...ROOT_FIELDS.map((name) => name[0]!.toLowerCase() + name.slice(1)),
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-validations',
]);

function rootSchemaErrors(schema: JsonSchema, hasStatus: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (hasStatus && schema.type !== undefined && schema.type !== '' && schema.type !== 'object') {
    const detail =
      'only "object" is allowed as the type at the root of the schema if the status subresource is enabled';
    errors.push(invalid(`${path}.type`, schema.type, detail));
  } else if (hasStatus && Object.keys(schema).some((name) => !ROOT_FIELD_NAMES.has(name))) {
    const fields = `[${ROOT_FIELDS.join(' ')}]`;
    const detail = `only ${fields} fields are allowed at the root of the schema if the status subresource is enabled`;
    errors.push(invalid(path, schema, detail));
  }
  if (schema.nullable === true) {
    errors.push(forbiddenField(`${path}.nullable`, 'nullable cannot be true at the root'));
  }
  const structural = structuralErrors(schema, path);
  errors.push(...(structural.length > 0 ? structural : defaultErrors(schema, path)));
  errors.push(...schemaErrors(schema, path));
  return errors;
}

function simplePathErrors(path: string, field: string): FieldError[] {
  if (path === '') return [invalid(field, path, 'must not be empty')];
  return path.startsWith('.') ? [] : [invalid(field, path, 'must be a simple json path starting with .')];
}

function scaleErrors(scale: NonNullable<NonNullable<CrdVersion['subresources']>['scale']>, path: string): FieldError[] {
  const below = (name: keyof typeof scale, root: string, isRequired: boolean): FieldError[] => {
    const value = scale[name] ?? '';
    const field = `${path}.scale.${name}`;
    if (value === '') return isRequired ? [required(field)] : [];
    const errors = simplePathErrors(value, field);
    if (errors.length > 0 || value.startsWith(`.${root}.`)) return errors;
    const roots = name === 'labelSelectorPath' ? 'either .spec or .status' : `.${root}`;
    if (name === 'labelSelectorPath' && value.startsWith('.spec.')) return [];
    return [invalid(field, value, `should be a json path under ${roots}`)];
  };
  return [
    ...below('specReplicasPath', 'spec', true),
    ...below('statusReplicasPath', 'status', true),
    ...below('labelSelectorPath', 'status', false),
  ];
}

const COLUMN_TYPES: readonly string[] = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS: readonly string[] = [
  'byte',
  'date',
  'date-time',
  'double',
  'float',
  'int32',
  'int64',
  'password',
];

function columnErrors(column: NonNullable<CrdVersion['additionalPrinterColumns']>[number], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { name, type, format = '', jsonPath } = column;
  if (!name) errors.push(required(`${path}.name`));
  const types = `must be one of ${COLUMN_TYPES.join(',')}`;
  if (!type) errors.push(required(`${path}.type`, types));
  else if (!COLUMN_TYPES.includes(type)) errors.push(invalid(`${path}.type`, type, types));
  if (format !== '' && !COLUMN_FORMATS.includes(format)) {
    errors.push(invalid(`${path}.format`, format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  }
  // Spelled as the field of Kubernetes' internal type.
  if (!jsonPath) errors.push(required(`${path}.JSONPath`));
  else errors.push(...simplePathErrors(jsonPath, `${path}.JSONPath`));
  return errors;
}

const MAX_SELECTABLE_FIELDS = 8;

function selectableErrors({ selectableFields = [], schema }: CrdVersion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, { jsonPath }] of selectableFields.entries()) {
    const field = `${path}[${i}].jsonPath`;
    if (!jsonPath) {
      errors.push(required(field));
      continue;
    }
    const found = schemaAtPath(jsonPath, schema?.openAPIV3Schema ?? {});
    if ('problem' in found || jsonPath.includes('[')) {
      const why = 'problem' in found ? found.problem : 'must not use array notation';
      errors.push(invalid(field, jsonPath, `is an invalid path: ${why}`));
      continue;
    }
    if (/^\.metadata(?:\.|$)/.test(jsonPath)) {
      errors.push(invalid(field, jsonPath, 'must not point to fields in metadata'));
    }
    if (!['string', 'boolean', 'integer'].includes(found.schema.type ?? '')) {
      const detail =
        'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.';
      errors.push(invalid(field, jsonPath, detail));
    }
    if (seen.has(jsonPath)) errors.push(duplicate(field, jsonPath));
    seen.add(jsonPath);
  }
  if (seen.size > MAX_SELECTABLE_FIELDS) errors.push(tooMany(path, seen.size, MAX_SELECTABLE_FIELDS));
  return errors;
}

const REVIEW_VERSIONS: readonly string[] = ['v1', 'v1beta1'];

/** Fields are named as in Kubernetes' internal type, where the webhook's parts stand beside the strategy. */
function conversionErrors({ strategy, webhook }: CrdConversion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!strategy) errors.push(required(`${path}.strategy`));
  else if (strategy !== 'None' && strategy !== 'Webhook') {
    errors.push(notSupported(`${path}.strategy`, strategy, ['None', 'Webhook']));
  }
  const client = webhook?.clientConfig;
  const clientPath = `${path}.webhookClientConfig`;
  const versions = webhook?.conversionReviewVersions ?? [];
  const versionsPath = `${path}.conversionReviewVersions`;
  if (strategy !== 'Webhook') {
    const detail = 'should not be set when strategy is not set to Webhook';
    if (client !== undefined) errors.push(forbiddenField(clientPath, detail));
    if (versions.length > 0) errors.push(forbiddenField(versionsPath, detail));
    return errors;
  }
  if (client === undefined) errors.push(required(clientPath, 'required when strategy is set to Webhook'));
  else if ((client.url === undefined) === (client.service === undefined)) {
    errors.push(required(clientPath, 'exactly one of url or service is required'));
  } else if (client.url !== undefined && !client.url.startsWith('https://')) {
    const detail = `'https' is the only allowed URL scheme; desired format: https://host[/path]`;
    errors.push(invalid(`${clientPath}.url`, client.url, detail));
  } else if (client.service !== undefined) {
    for (const name of ['name', 'namespace'] as const) {
      if (!client.service[name]) errors.push(required(`${clientPath}.service.${name}`, `service ${name} is required`));
    }
  }
  if (versions.length === 0) errors.push(required(versionsPath));
  else if (!versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    errors.push(invalid(versionsPath, versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`));
  }
  for (const [i, version] of versions.entries()) {
    if (versions.indexOf(version) < i) errors.push(invalid(`${versionsPath}[${i}]`, version, 'duplicate version'));
    else errors.push(...dns1035Label(version).map((why) => invalid(`${versionsPath}[${i}]`, version, why)));
  }
  return errors;
}

function storedVersionErrors({ spec, status }: CustomResourceDefinition): FieldError[] {
  const stored = status?.storedVersions ?? [];
  const path = 'status.storedVersions';
  if (stored.length === 0) return [invalid(path, stored, 'must have at least one stored version')];
  const storage = spec.versions.find((version) => version.storage)?.name;
  const errors: FieldError[] = [];
  if (storage !== undefined && !stored.includes(storage)) {
    errors.push(invalid(path, stored, `must have the storage version ${storage}`));
  }
  for (const [i, name] of stored.entries()) {
    if (spec.versions.some((version) => version.name === name)) continue;
    const detail =
      `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a ` +
      `storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`;
    errors.push(invalid(`${path}[${i}]`, name, detail));
  }
  return errors;
}

function preserveErrors(spec: CrdSpec, old: CrdSpec | undefined): FieldError[] {
  if (spec.preserveUnknownFields !== true || old?.preserveUnknownFields === true) return [];
  const detail =
    'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead';
  return [invalid('spec.preserveUnknownFields', true, detail)];
}

function immutableErrors(crd: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const fixed = (field: string, value: unknown, before: unknown) =>
    deepEqual(value, before) ? [] : [invalid(field, value, 'field is immutable')];
  const isEstablished = isConditionTrue(old, 'Established');
  return [
    ...(isEstablished ? fixed('spec.scope', crd.spec.scope, old.spec.scope) : []),
    ...(isEstablished ? fixed('spec.names.kind', crd.spec.names.kind, old.spec.names.kind) : []),
    ...fixed('spec.group', crd.spec.group, old.spec.group),
    ...fixed('spec.names.plural', crd.spec.names.plural, old.spec.names.plural),
  ];
}
