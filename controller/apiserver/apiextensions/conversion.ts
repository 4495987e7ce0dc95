import { deepEqual } from '#api/object/deep-equal.ts';
import { apiVersionOf, parseApiVersion, type ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ObjectView } from '../registry/object-view.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { CustomFormat } from './custom-format.ts';

export interface ConversionOptions {
  /** The version that requests speak. */
  readonly info: ResourceInfo;
  readonly format: CustomFormat;
  /** The version that new objects are stored in. */
  readonly storedAs: ResourceInfo & { readonly format: CustomFormat };
  /** Formats of all versions of the kind by name: objects may be stored in any of them. */
  readonly formats: ReadonlyMap<string, CustomFormat>;
}

/**
 * Between the stored form and one version of a kind whose versions differ in their name only (strategy None). What is read is pruned and
 * defaulted by the schema of the version in which it was stored, so that a changed schema shows at once.
 */
export function createPlainConversion(options: ConversionOptions): NonNullable<ResourceDefinition['conversion']> {
  const { info, format, storedAs, formats } = options;
  const brought = new WeakMap<object, KubeObject>();
  /** Views whose bytes say what `fromStored` answers. */
  const clean = new WeakSet<ObjectView>();
  const apiVersion = apiVersionOf(info);
  const conversion: NonNullable<ResourceDefinition['conversion']> = {
    storedAs,
    isAsStored(view) {
      if (!clean.has(view)) conversion.fromStored(view.object() as KubeObject, view);
      return clean.has(view);
    },
    fromStored(stored: KubeObject, view?: ObjectView) {
      if (view !== undefined && clean.has(view)) return stored;
      let object = brought.get(stored);
      if (object === undefined) {
        object = bringForward(stored, formats);
        if (object.apiVersion !== apiVersion) {
          object.apiVersion = apiVersion;
          format.prune(object);
        }
        if (deepEqual(object, stored)) {
          if (view !== undefined) clean.add(view);
          return stored;
        }
        brought.set(stored, object);
      }
      return object;
    },
    toStored(object) {
      if (object.apiVersion === apiVersionOf(storedAs)) return object;
      const stored = copyObject(object);
      stored.apiVersion = apiVersionOf(storedAs);
      storedAs.format.prune(stored);
      return stored;
    },
  };
  return conversion;
}

/** A private copy of what is stored, as the schema of its own version has it now. */
export function bringForward(stored: KubeObject, formats: ReadonlyMap<string, CustomFormat>): KubeObject {
  const object = copyObject(stored);
  const format = formats.get(parseApiVersion(stored.apiVersion).version);
  if (format === undefined) return object;
  format.prune(object);
  format.applyDefaults(object);
  return object;
}
