import { isJsonObject } from '#api/object/json.ts';
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from './custom-resource-definition.ts';

const STEP = /^(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\])/;

/** The steps of a simple path such as `.spec.ports` or `.spec['my.key']`; undefined for what is none. */
export function parseFieldPath(path: string): string[] | undefined {
  const steps: string[] = [];
  let rest = path;
  while (rest !== '') {
    const match = STEP.exec(rest);
    if (match === null) return undefined;
    const [whole, name, single, double, index] = match;
    steps.push(name ?? index ?? (single ?? double ?? '').replaceAll(/\\(.)/g, '$1'));
    rest = rest.slice(whole.length);
  }
  return steps.length === 0 ? undefined : steps;
}

/** The schema that a path leads to; a sentence about what is wrong with it otherwise. */
export function schemaAtPath(path: string, schema: JsonSchema): { schema: JsonSchema } | { problem: string } {
  const steps = parseFieldPath(path);
  if (steps === undefined) return { problem: 'must be a simple path of field names, each after a dot or in brackets' };
  let current = schema;
  for (const step of steps) {
    const next = propertyOf(current, step) ?? additionalOf(current) ?? itemsOf(current);
    if (next === undefined) return { problem: `does not refer to a valid field` };
    current = next;
  }
  return { schema: current };
}

/** The value at the end of these steps; undefined where there is none. */
export function valueAtPath(object: unknown, steps: readonly string[]): unknown {
  let value = object;
  for (const step of steps) {
    if (!isJsonObject(value) || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value;
}

/** Steps of the dotted paths of the scale subresource, which are plain names. */
export const dottedSteps = (path: string): string[] => path.split('.').filter((step) => step !== '');
