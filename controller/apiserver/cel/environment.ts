import { baseFunctions } from './library/base-functions.ts';
import type { FunctionTable } from './library/function-table.ts';
import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  type ObjectType,
  opaque,
  optionalOf,
  STRING,
  TIMESTAMP,
  typeOf,
  UINT,
} from './types/cel-type.ts';

/** What an expression may name: variables, functions, types. Compiled once, shared by all expressions of one place. */
export interface CelEnvironment {
  /** Names may have dots (`authorizer.requestResource`). */
  readonly variables: ReadonlyMap<string, CelType>;
  readonly functions: FunctionTable;
  /** Types by the names that expressions give them, for `type(x) == int`. */
  readonly typeNames: ReadonlyMap<string, CelType>;
  /** Types that literals like `Object{...}` make; undefined for names that are none. */
  structType(name: string): ObjectType | undefined;
}

export interface EnvironmentOptions {
  readonly variables: Readonly<Record<string, CelType>>;
  /** Functions beyond those that all expressions in Kubernetes have. */
  readonly functions?: FunctionTable;
  readonly structType?: (name: string) => ObjectType | undefined;
}

const TYPE_NAMES: ReadonlyMap<string, CelType> = new Map<string, CelType>([
  ['bool', BOOL],
  ['int', INT],
  ['uint', UINT],
  ['double', DOUBLE],
  ['string', STRING],
  ['bytes', BYTES],
  ['null_type', NULL],
  ['dyn', DYN],
  ['google.protobuf.Timestamp', TIMESTAMP],
  ['google.protobuf.Duration', DURATION],
  ['list', listOf(DYN)],
  ['map', mapOf(DYN, DYN)],
  ['type', typeOf(DYN)],
  ['optional_type', optionalOf(DYN)],
  ...['net.IP', 'net.CIDR', 'kubernetes.URL', 'kubernetes.Quantity', 'kubernetes.Semver'].map(
    (name): [string, CelType] => [name, opaque(name)],
  ),
]);

/** The base environment of Kubernetes 1.36 with these variables. */
export function createEnvironment({ variables, functions, structType }: EnvironmentOptions): CelEnvironment {
  const base = baseFunctions();
  return {
    variables: new Map(Object.entries(variables)),
    functions: functions === undefined ? base : new Map([...base, ...functions]),
    typeNames: TYPE_NAMES,
    structType: structType ?? (() => undefined),
  };
}
