import { dns1123Subdomain } from '#api/meta/names.ts';
import type { FieldError } from '#api/object/field-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../store/store.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { createdAtColumn, createdAtOf, nameColumn } from '../resources/printing/columns.ts';
import type { Allocation, OtherKinds, ResourceDefinition, StrategyContext } from './resource-definition.ts';

/** Verbs that most resources serve, in discovery's order. */
export const STANDARD_VERBS: readonly string[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

/** The hooks of a definition, typed with the kind that they see. */
export interface ResourceHooks<T> {
  validateName(name: string): readonly string[];
  applyDefaults(object: T): void;
  prepareForCreate(object: T, context: StrategyContext): void;
  prepareForUpdate(object: T, old: T, context: StrategyContext): void;
  validate(object: T, context: StrategyContext, old?: T): readonly FieldError[];
  validateCreate(object: T, context: StrategyContext): readonly FieldError[];
  validateUpdate(object: T, old: T, context: StrategyContext): readonly FieldError[];
  prepareForStatusUpdate(object: T, old: T, context: StrategyContext): void;
  validateStatusUpdate(object: T, old: T, context: StrategyContext): readonly FieldError[];
  warnings(object: T, old: T | undefined): readonly string[];
  selectableFields(object: T): Readonly<Record<string, string>>;
  isVolatileUpdate(old: T, object: T): boolean;
  tableRow(object: T, nowMs: number): readonly unknown[];
  allocate?(object: T, old: T | undefined, store: Store, context: StrategyContext): Promise<Allocation>;
  virtualCreate?(object: T, context: RequestContext, others: OtherKinds): KubeObject | Promise<KubeObject>;
  afterDelete?(object: T, store: Store): void;
}

/** What a resource file says; everything else has the default of `defineResource`. */
export type ResourceInput<T> = ResourceInfo &
  Partial<Omit<ResourceDefinition, keyof ResourceHooks<T> | keyof ResourceInfo>> &
  Partial<ResourceHooks<T>>;

const NO_ERRORS: readonly FieldError[] = [];
const NO_FIELDS: Readonly<Record<string, string>> = {};

const defaultHooks: ResourceHooks<KubeObject> = {
  validateName: dns1123Subdomain,
  applyDefaults() {},
  prepareForCreate() {},
  prepareForUpdate() {},
  validate: () => NO_ERRORS,
  validateCreate: () => NO_ERRORS,
  validateUpdate: () => NO_ERRORS,
  prepareForStatusUpdate() {},
  validateStatusUpdate: () => NO_ERRORS,
  warnings: () => [],
  selectableFields: () => NO_FIELDS,
  isVolatileUpdate: () => false,
  tableRow: (object) => [object.metadata.name, createdAtOf(object)],
};

/**
 * A whole definition from what is particular to a kind. The hooks are typed with the kind's interface: strict decoding against the type
 * table has checked the shape before any hook runs, which is what makes the one cast here true. Fields that the table calls required
 * may still be absent, so hooks of `validate` look before they read.
 */
export function defineResource<T = KubeObject>(input: ResourceInput<T>): ResourceDefinition {
  const definition: ResourceInput<KubeObject> & Record<string, unknown> = {
    singular: input.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    storagePrefix: `/registry/${input.resource}`,
    verbs: STANDARD_VERBS,
    hasStatus: false,
    hasGeneration: false,
    subresources: [],
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: true,
    indexedFields: [],
    indexedLabels: [],
    volatileTtlMs: undefined,
    columns: [nameColumn, createdAtColumn],
    ...defaultHooks,
    ...(input as unknown as ResourceInput<KubeObject>),
  };
  return definition as unknown as ResourceDefinition;
}
