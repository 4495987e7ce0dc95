import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { deducedShape, type FieldShape, keyElement, shapeOf, structShape, valueElement } from './field-shape.ts';

/** The live object with everything that the configuration names laid over it. Neither input is changed. */
export function mergeConfiguration(live: KubeObject, config: KubeObject, type: TypeDef): KubeObject {
  return mergeValue(live, config, structShape(type)) as KubeObject;
}

function mergeValue(live: unknown, config: unknown, shape: FieldShape): unknown {
  if (config === undefined) return live;
  switch (shape.kind) {
    case 'leaf':
      return config;
    case 'keyedList':
    case 'set':
      return Array.isArray(live) && Array.isArray(config) ? mergeLists(live, config, shape) : config;
    default:
      return isJsonObject(config) && isJsonObject(live) ? mergeObjects(live, config, shape) : config;
  }
}

type ObjectShape = Extract<FieldShape, { kind: 'struct' | 'map' | 'deduced' }>;

function shapeOfKey(shape: ObjectShape, name: string): FieldShape {
  if (shape.kind === 'map') return shape.element;
  const field = shape.kind === 'struct' ? shape.type.fields.get(name) : undefined;
  return field === undefined ? deducedShape : shapeOf(field);
}

function mergeObjects(live: JsonObject, config: JsonObject, shape: ObjectShape): JsonObject {
  const merged: JsonObject = {};
  for (const name of Object.keys(live)) setOwn(merged, name, live[name]);
  for (const name of Object.keys(config)) {
    const current = Object.hasOwn(live, name) ? live[name] : undefined;
    setOwn(merged, name, mergeValue(current, config[name], shapeOfKey(shape, name)));
  }
  return merged;
}

type ListShape = Extract<FieldShape, { kind: 'keyedList' | 'set' }>;

/** Items of the configuration in its order; items that only live has keep their place relative to the ones both have. */
function mergeLists(live: readonly unknown[], config: readonly unknown[], shape: ListShape): unknown[] {
  const elementOf = (item: unknown) => (shape.kind === 'keyedList' ? keyElement(item, shape.keys) : valueElement(item));
  const liveItems = live.map((item) => ({ element: elementOf(item), item }));
  const configItems = config.map((item) => ({ element: elementOf(item), item }));
  const liveByElement = new Map(liveItems.map(({ element, item }) => [element, item]));
  const inConfig = new Set(configItems.map(({ element }) => element));
  const merge = (element: string, item: unknown) =>
    shape.kind === 'keyedList' ? mergeValue(liveByElement.get(element), item, shape.element) : item;

  const result: unknown[] = [];
  const shared = configItems.filter(({ element }) => liveByElement.has(element)).map(({ element }) => element);
  const done = new Set<string>();
  let sharedAt = 0;
  let at = 0;
  let configAt = 0;
  while (at < liveItems.length || configAt < configItems.length) {
    const current = liveItems[at];
    const wanted = configItems[configAt];
    const nextShared = shared[sharedAt];
    if (current !== undefined && !inConfig.has(current.element)) {
      result.push(current.item);
      at++;
    } else if (current !== undefined && (done.has(current.element) || wanted === undefined)) {
      at++;
    } else if (current !== undefined && nextShared !== undefined && current.element !== nextShared) {
      // The configuration puts this item later: it comes when its turn there has come.
      at++;
    } else {
      result.push(merge(wanted!.element, wanted!.item));
      done.add(wanted!.element);
      configAt++;
      if (wanted!.element === nextShared) sharedAt++;
    }
  }
  return result;
}
