import { CONVERSIONS } from './conversions.ts';
import { type FunctionTable, functionTable } from './function-table.ts';
import { LISTS } from './lists.ts';
import { OPERATORS } from './operators.ts';
import { OPTIONALS } from './optionals.ts';
import { STANDARD_STRINGS } from './standard-strings.ts';

let table: FunctionTable | undefined;

/** All functions that every expression in Kubernetes 1.36 may call; built on first use. */
export function baseFunctions(): FunctionTable {
  table ??= functionTable([...OPERATORS, ...CONVERSIONS, ...STANDARD_STRINGS, ...LISTS, ...OPTIONALS]);
  return table;
}
