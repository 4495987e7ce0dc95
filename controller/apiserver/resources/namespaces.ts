import { dns1123Label } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Namespace } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateQualifiedName } from './validation/format.ts';

/** Holds a Namespace until the namespace controller has emptied it. */
const KUBERNETES_FINALIZER = 'kubernetes';
const NAME_LABEL = 'kubernetes.io/metadata.name';

const finalizersOf = (namespace: Namespace): string[] => (namespace.spec?.finalizers as string[] | undefined) ?? [];

function labelWithName(namespace: Namespace): void {
  const { metadata } = namespace;
  if (metadata.name) metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
}

function validateNamespace(namespace: Namespace): FieldError[] {
  return finalizersOf(namespace).flatMap((finalizer, i) =>
    finalizer === KUBERNETES_FINALIZER ? [] : validateQualifiedName(finalizer, `spec.finalizers[${i}]`),
  );
}

function validatePhase(namespace: Namespace): FieldError[] {
  const phase = namespace.status?.phase;
  const deleted = namespace.metadata.deletionTimestamp !== undefined;
  if (!deleted && phase !== 'Active') {
    return [invalid('status.Phase', phase ?? '', "may only be 'Active' if `deletionTimestamp` is empty")];
  }
  if (deleted && phase !== 'Terminating') {
    return [invalid('status.Phase', phase ?? '', "may only be 'Terminating' if `deletionTimestamp` is not empty")];
  }
  return [];
}

/** PUT of the whole Namespace of which only spec.finalizers counts; the namespace controller takes its finalizer off this way. */
const finalize: SubresourceDefinition = {
  name: 'finalize',
  verbs: ['update'],
  kind: { group: '', version: 'v1', kind: 'Namespace' },
  async handle(context, services) {
    const body = (await services.readBody(context)) as unknown as Namespace;
    const updated = await services.updateObject(
      context,
      '',
      context.info.name,
      (object) => ({ ...object, spec: { ...(object.spec as object), finalizers: finalizersOf(body) } }),
      { as: 'main', subresource: 'finalize' },
    );
    services.respond(context, 200, updated);
  },
};

export const namespaces: ResourceDefinition = defineResource<Namespace>({
  group: '',
  version: 'v1',
  resource: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
  shortNames: ['ns'],
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  hasStatus: true,
  subresources: [finalize],
  validateName: dns1123Label,
  applyDefaults: labelWithName,
  prepareForCreate(namespace) {
    labelWithName(namespace);
    const finalizers = finalizersOf(namespace);
    namespace.spec = {
      finalizers: finalizers.includes(KUBERNETES_FINALIZER) ? finalizers : [...finalizers, KUBERNETES_FINALIZER],
    };
    namespace.status = { phase: 'Active' };
  },
  prepareForUpdate(namespace, old, { request }) {
    labelWithName(namespace);
    if (request.info.subresource !== 'finalize') namespace.spec = { ...namespace.spec, finalizers: finalizersOf(old) };
  },
  validate: validateNamespace,
  validateStatusUpdate: validatePhase,
  isHeld: (object) => finalizersOf(object as unknown as Namespace).length > 0,
  prepareForDelete(object) {
    // A Namespace has no grace; its finalizer alone says how long it takes.
    delete object.metadata.deletionGracePeriodSeconds;
    object.status = { ...(object.status as object), phase: 'Terminating' };
  },
  selectableFields: (namespace) => ({ 'status.phase': namespace.status?.phase ?? '' }),
  columns: [nameColumn, text('Status', 'Active, or Terminating while its contents are deleted.'), ageColumn],
  tableRow: (namespace, nowMs) => [namespace.metadata.name, namespace.status?.phase ?? '', age(namespace, nowMs)],
});
