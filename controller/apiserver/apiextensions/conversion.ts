import { apiVersionOf, parseApiVersion, type ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { copyObject } from '../registry/object-meta.ts';
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
  const apiVersion = apiVersionOf(info);
  return {
    storedAs,
    fromStored(stored: KubeObject) {
      let object = brought.get(stored);
      if (object === undefined) {
        object = bringForward(stored, formats);
        if (object.apiVersion !== apiVersion) {
          object.apiVersion = apiVersion;
          format.prune(object);
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
