import { isJsonObject, type JsonObject } from '../object/json.ts';
import { setOwn } from '../object/own-property.ts';

/** RFC 7386: objects merge, null removes, everything else replaces. Inputs are not changed; the result may share parts with them. */
export function applyMergePatch(doc: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const target: JsonObject = {};
  const source = isJsonObject(doc) ? doc : {};
  for (const key of Object.keys(source)) {
    if (!Object.hasOwn(patch, key)) setOwn(target, key, source[key]);
    else if (patch[key] !== null) setOwn(target, key, applyMergePatch(source[key], patch[key]));
  }
  for (const key of Object.keys(patch)) {
    if (!Object.hasOwn(source, key) && patch[key] !== null) setOwn(target, key, applyMergePatch(undefined, patch[key]));
  }
  return target;
}
