/** A static type. Types are compared by structure, object and opaque types by name. */
export type CelType =
  | { readonly kind: 'simple'; readonly name: SimpleName }
  | { readonly kind: 'list'; readonly element: CelType }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType }
  | ObjectType
  | { readonly kind: 'opaque'; readonly name: string }
  | { readonly kind: 'optional'; readonly value: CelType }
  /** The type of a type's name. */
  | { readonly kind: 'type'; readonly of: CelType }
  /** A parameter of a declaration, or a fresh variable of one use of it. */
  | { readonly kind: 'param'; readonly name: string };

export type SimpleName =
  | 'dyn'
  | 'null'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'timestamp'
  | 'duration';

export interface ObjectType {
  readonly kind: 'object';
  readonly name: string;
  /** The type of a field by its CEL name, undefined for fields that do not exist. */
  field(name: string): CelType | undefined;
}

const simple = (name: SimpleName): CelType => ({ kind: 'simple', name });

export const DYN = simple('dyn');
export const NULL = simple('null');
export const BOOL = simple('bool');
export const INT = simple('int');
export const UINT = simple('uint');
export const DOUBLE = simple('double');
export const STRING = simple('string');
export const BYTES = simple('bytes');
export const TIMESTAMP = simple('timestamp');
export const DURATION = simple('duration');

export const listOf = (element: CelType): CelType => ({ kind: 'list', element });
export const mapOf = (key: CelType, value: CelType): CelType => ({ kind: 'map', key, value });
export const optionalOf = (value: CelType): CelType => ({ kind: 'optional', value });
export const typeOf = (of: CelType): CelType => ({ kind: 'type', of });
export const param = (name: string): CelType => ({ kind: 'param', name });
export const opaque = (name: string): CelType => ({ kind: 'opaque', name });

export function objectType(name: string, fields: Readonly<Record<string, CelType>>): ObjectType {
  const byName = new Map(Object.entries(fields));
  return { kind: 'object', name, field: (field) => byName.get(field) };
}

export const isDyn = (type: CelType): boolean => type.kind === 'simple' && type.name === 'dyn';

const RUNTIME_NAMES: Partial<Record<SimpleName, string>> = {
  null: 'null_type',
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
};

/** As messages show it: `map(string, list(int))`. */
export function formatType(type: CelType): string {
  switch (type.kind) {
    case 'simple':
      return type.name === 'null' ? 'null' : (RUNTIME_NAMES[type.name] ?? type.name);
    case 'list':
      return `list(${formatType(type.element)})`;
    case 'map':
      return `map(${formatType(type.key)}, ${formatType(type.value)})`;
    case 'optional':
      return `optional_type(${formatType(type.value)})`;
    case 'type':
      return `type(${formatType(type.of)})`;
    default:
      return type.name;
  }
}

/** The name that `type(x)` has at run time. */
export function runtimeTypeName(type: CelType): string {
  switch (type.kind) {
    case 'simple':
      return RUNTIME_NAMES[type.name] ?? type.name;
    case 'optional':
      return 'optional_type';
    case 'list':
    case 'map':
    case 'type':
      return type.kind;
    default:
      return type.name;
  }
}
