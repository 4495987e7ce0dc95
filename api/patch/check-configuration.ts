import { badRequest } from '../object/api-error.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { renderElement } from './field-set.ts';
import { deducedShape, type FieldShape, keyElement, shapeOf, structShape, valueElement } from './field-shape.ts';

/** The refusal of an applied configuration that is none of its type; `problems` begin with a path. */
export function notOfType(config: KubeObject, problems: readonly string[]) {
  const { namespace = '', name = '' } = config.metadata ?? {};
  const gvk = `${config.apiVersion}, Kind=${config.kind}`;
  const list =
    problems.length === 1 ? problems[0] : ['errors:', ...problems.map((problem) => `  ${problem}`)].join('\n');
  return badRequest(`failed to create typed patch object (${namespace}/${name}; ${gvk}): ${list}`);
}

/** Throws 400 where a list with keys, or a set, names one item twice: whose it is could not be told. */
export function checkDuplicates(config: KubeObject, type: TypeDef): void {
  const problems: string[] = [];
  visit(config, structShape(type), '', problems);
  if (problems.length > 0) throw notOfType(config, problems);
}

function visit(value: unknown, shape: FieldShape, path: string, problems: string[]): void {
  switch (shape.kind) {
    case 'struct':
      if (!isJsonObject(value)) return;
      for (const name of Object.keys(value)) {
        const field = shape.type.fields.get(name);
        visit(value[name], field === undefined ? deducedShape : shapeOf(field), `${path}.${name}`, problems);
      }
      return;
    case 'map':
      if (!isJsonObject(value)) return;
      for (const key of Object.keys(value as JsonObject)) visit(value[key], shape.element, `${path}.${key}`, problems);
      return;
    case 'keyedList':
    case 'set':
      if (Array.isArray(value)) visitList(value, shape, path, problems);
  }
}

function visitList(
  list: readonly unknown[],
  shape: Extract<FieldShape, { kind: 'keyedList' | 'set' }>,
  path: string,
  problems: string[],
): void {
  const seen = new Set<string>();
  for (const item of list) {
    const element = shape.kind === 'keyedList' ? keyElement(item, shape.keys) : valueElement(item);
    if (seen.has(element)) problems.push(`${path}: duplicate entries for key ${renderElement(element)}`);
    seen.add(element);
    if (shape.kind === 'keyedList') visit(item, shape.element, `${path}${renderElement(element)}`, problems);
  }
}
