import { isJsonObject } from '../object/json.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';

/** Most findings reported for one body, as in Kubernetes. */
const MAX_FINDINGS = 100;

/** Names every field that the type does not have: `unknown field "spec.containers[0].foo"`. */
export function findUnknownFields(value: unknown, type: TypeDef): string[] {
  const found: string[] = [];
  walkMessage(value, type, '', found);
  return found;
}

function walkMessage(value: unknown, type: TypeDef, path: string, found: string[]): void {
  if (!isJsonObject(value)) return;
  for (const [key, item] of Object.entries(value)) {
    const keyPath = path === '' ? key : `${path}.${key}`;
    const field = type.fields.get(key);
    if (field !== undefined) walkField(item, field, keyPath, found);
    else if (!type.preserveUnknown && found.length < MAX_FINDINGS) found.push(`unknown field "${keyPath}"`);
  }
}

function walkField(value: unknown, field: FieldDef, path: string, found: string[]): void {
  if (field.kind !== 'message' || value === null || typeof value !== 'object') return;
  if (field.cardinality === 'one') {
    walkMessage(value, field.type!, path, found);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) walkMessage(item, field.type!, `${path}[${index}]`, found);
  } else {
    for (const [key, item] of Object.entries(value)) walkMessage(item, field.type!, `${path}.${key}`, found);
  }
}
