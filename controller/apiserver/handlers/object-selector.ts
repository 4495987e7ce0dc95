import { everyField, type FieldSelector, parseFieldSelector } from '#api/meta/field-selector.ts';
import { everything, type LabelSelector, parseLabelSelector, SelectorError } from '#api/meta/label-selector.ts';
import { badRequest } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StoredObject } from '../../store/store.ts';
import { fieldsOf, readStored } from '../registry/encode-object.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

/** Which objects a list, watch or deletecollection means. */
export interface ObjectSelector {
  readonly isEverything: boolean;
  readonly labels: LabelSelector;
  readonly fields: FieldSelector;
  matches(object: StoredObject): boolean;
}

const SELECT_ALL: ObjectSelector = {
  isEverything: true,
  labels: everything,
  fields: everyField,
  matches: () => true,
};

/** Throws 400 for selectors that do not parse and for fields that this kind does not offer. */
export function parseSelector(
  definition: ResourceDefinition,
  options: { readonly labelSelector: string; readonly fieldSelector: string; readonly name?: string },
): ObjectSelector {
  if (options.labelSelector === '' && options.fieldSelector === '') return SELECT_ALL;
  const labels = parse(() => parseLabelSelector(options.labelSelector));
  const fields = parse(() => parseFieldSelector(options.fieldSelector));
  checkFieldNames(definition, fields);
  const name = fields.exactMatch('metadata.name');
  return {
    isEverything: labels.isEmpty && fields.isEmpty,
    labels,
    fields,
    // Labels and fields of an object that was loaded are found by decoding it: what its key rules out is not decoded.
    matches: (object) =>
      (name === undefined || object.key.endsWith(`/${name}`)) &&
      (labels.isEmpty || labels.matches(object.labels)) &&
      (fields.isEmpty || fields.matches(fieldsFor(definition, object))),
  };
}

/** The index stores the fields of the stored form; a kind with another face has its own names for them. */
function fieldsFor(definition: ResourceDefinition, object: StoredObject): Readonly<Record<string, string>> {
  return definition.conversion === undefined ? object.fields : fieldsOf(definition, readStored(definition, object));
}

function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (err) {
    if (err instanceof SelectorError) throw badRequest(err.message);
    throw err;
  }
}

const fieldNames = new WeakMap<ResourceDefinition, ReadonlySet<string>>();

function checkFieldNames(definition: ResourceDefinition, fields: FieldSelector): void {
  const names = selectableFieldNames(definition);
  for (const { field } of fields.requirements) {
    if (names.has(field)) continue;
    // Kinds without fields of their own share one answer in Kubernetes.
    throw badRequest(
      names.size > 2
        ? `field label not supported: ${field}`
        : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }
}

/** A definition lists its selectable fields by computing them; an empty object shows their names. */
function selectableFieldNames(definition: ResourceDefinition): ReadonlySet<string> {
  let names = fieldNames.get(definition);
  if (names === undefined) {
    const empty: KubeObject = { apiVersion: '', kind: definition.kind, metadata: {}, spec: {}, status: {} };
    names = new Set(Object.keys(fieldsOf(definition, empty)));
    fieldNames.set(definition, names);
  }
  return names;
}
