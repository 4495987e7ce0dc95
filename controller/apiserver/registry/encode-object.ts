import { encodeCanonical } from '#api/codec/canonical.ts';
import { equalsWithoutResourceVersion, withResourceVersion } from '#api/codec/resource-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { NewValue, StoredObject } from '../../store/store.ts';
import type { ObjectView, RegistryServices } from './registry-services.ts';
import type { ResourceDefinition } from './resource-definition.ts';

const NO_LABELS: Readonly<Record<string, string>> = {};
const decoder = new TextDecoder();

/** The decoded object in the definition's own form; shared, so copy it before a change. */
export function readStored(definition: ResourceDefinition, stored: ObjectView): KubeObject {
  const object = stored.object() as KubeObject;
  return definition.conversion === undefined ? object : definition.conversion.fromStored(object, stored);
}

/** True where the stored bytes are what a client of this definition should get, so that nothing has to be decoded. */
export function isSentAsStored({ conversion }: ResourceDefinition, view: ObjectView): boolean {
  return conversion === undefined || conversion.isAsStored?.(view) === true;
}

/** What a client of this definition gets as JSON. */
export function sentBytes(definition: ResourceDefinition, view: ObjectView): Uint8Array {
  return isSentAsStored(definition, view) ? view.bytes : encodeCanonical(readStored(definition, view));
}

/** Waits until these can be read, where their conversion has to be waited for. */
export async function prepareRead(definition: ResourceDefinition, views: readonly ObjectView[]): Promise<void> {
  await definition.conversion?.prepare?.read(views);
}

/** What every version of an object has in common: readable without a conversion. */
export function metadataOf(stored: ObjectView): KubeObject['metadata'] {
  return (stored.object() as KubeObject).metadata;
}

/** The definition that says which fields of the stored form are selectable. */
function storedDefinition(services: RegistryServices, definition: ResourceDefinition): ResourceDefinition {
  // The fields of custom kinds are found in the form that a request asks for, never through an index.
  if (definition.conversion === undefined || definition.format !== undefined) return definition;
  const { group, version, resource } = definition.conversion.storedAs;
  const target = services.catalog.find(group, version, resource);
  if (target === undefined)
    throw new Error(`${definition.resource}.${definition.group} is stored as a kind that is not served`);
  return target;
}

/** What the store is to hold for `object`, which is canonical and in the definition's own form. */
export function toNewValue(
  services: RegistryServices,
  definition: ResourceDefinition,
  object: KubeObject,
  durability: NewValue['durability'],
): NewValue {
  const { conversion } = definition;
  const stored =
    conversion === undefined ? object : services.format.canonicalize(conversion.toStored(object), conversion.storedAs);
  return {
    bytes: encodeCanonical(stored),
    labels: object.metadata.labels ?? NO_LABELS,
    fields: fieldsOf(storedDefinition(services, definition), stored),
    durability,
  };
}

/** The same for an object that is in the stored form already. */
export function storedFormValue(
  services: RegistryServices,
  conversion: NonNullable<ResourceDefinition['conversion']>,
  object: KubeObject,
): NewValue {
  const { name = '', namespace = '', labels = NO_LABELS } = object.metadata;
  return {
    bytes: encodeCanonical(services.format.canonicalize(object, conversion.storedAs)),
    labels,
    fields: { 'metadata.name': name, 'metadata.namespace': namespace },
    durability: 'durable',
  };
}

export function fieldsOf(definition: ResourceDefinition, object: KubeObject): Readonly<Record<string, string>> {
  const { name = '', namespace = '' } = object.metadata;
  return { 'metadata.name': name, 'metadata.namespace': namespace, ...definition.selectableFields(object) };
}

/** True when writing `value` would change nothing: canonical forms make equal objects equal bytes. */
export function isNoOp(value: NewValue, current: StoredObject): boolean {
  return equalsWithoutResourceVersion(current.bytes, value.bytes);
}

/** A view of an object that was computed but not read from the store: dry runs, and the last state of a removed object. */
export function viewOf(value: NewValue, revision: number | undefined): ObjectView {
  const bytes = revision === undefined ? value.bytes : withResourceVersion(value.bytes, revision);
  return { bytes, object: () => JSON.parse(decoder.decode(bytes)) };
}
