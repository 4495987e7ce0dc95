import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, tooLong } from '#api/object/field-error.ts';
import type { ConfigMap } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { base64Bytes, MAX_DATA_BYTES, validateDataKey } from './validation/data.ts';

function validateConfigMap(configMap: ConfigMap): FieldError[] {
  const { data = {}, binaryData = {} } = configMap;
  const errors: FieldError[] = [];
  let totalBytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.push(...validateDataKey(key, `data[${key}]`));
    if (Object.hasOwn(binaryData, key))
      errors.push(invalid(`data[${key}]`, key, `duplicate of key present in binaryData`));
    totalBytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binaryData)) {
    errors.push(...validateDataKey(key, `binaryData[${key}]`));
    totalBytes += base64Bytes(value as unknown as string);
  }
  // Kubernetes names no field here: the sum is of the whole object.
  if (totalBytes > MAX_DATA_BYTES) errors.push(tooLong('[]', MAX_DATA_BYTES));
  return errors;
}

function validateConfigMapUpdate(configMap: ConfigMap, old: ConfigMap): FieldError[] {
  if (old.immutable !== true) return [];
  const errors: FieldError[] = [];
  if (configMap.immutable !== true)
    errors.push(forbiddenField('immutable', 'field is immutable when `immutable` is set'));
  if (!deepEqual(configMap.data ?? {}, old.data ?? {})) {
    errors.push(forbiddenField('data', 'field is immutable when `immutable` is set'));
  }
  if (!deepEqual(configMap.binaryData ?? {}, old.binaryData ?? {})) {
    errors.push(forbiddenField('binaryData', 'field is immutable when `immutable` is set'));
  }
  return errors;
}

export const configMaps: ResourceDefinition = defineResource<ConfigMap>({
  group: '',
  version: 'v1',
  resource: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
  shortNames: ['cm'],
  validate: validateConfigMap,
  validateUpdate: validateConfigMapUpdate,
  columns: [nameColumn, text('Data', 'Number of entries.'), ageColumn],
  tableRow: (configMap, nowMs) => [
    configMap.metadata.name,
    Object.keys(configMap.data ?? {}).length + Object.keys(configMap.binaryData ?? {}).length,
    age(configMap, nowMs),
  ],
});
