import { ADDRESSES } from './addresses.ts';
import { AUTHORIZATION } from './authorization.ts';
import { CONVERSIONS } from './conversions.ts';
import { FORMATS_LIBRARY } from './formats.ts';
import { type FunctionTable, functionTable } from './function-table.ts';
import { LIST_EXTENSIONS } from './list-extensions.ts';
import { LISTS } from './lists.ts';
import { OPERATORS } from './operators.ts';
import { OPTIONALS } from './optionals.ts';
import { QUANTITIES } from './quantities.ts';
import { SEMANTIC_VERSIONS } from './semantic-versions.ts';
import { STANDARD_STRINGS } from './standard-strings.ts';
import { STRINGS } from './strings.ts';
import { TIMES } from './times.ts';
import { URLS } from './urls.ts';

let table: FunctionTable | undefined;

/** All functions that every expression in Kubernetes 1.36 may call; built on first use. */
export function baseFunctions(): FunctionTable {
  table ??= functionTable([
    ...OPERATORS,
    ...CONVERSIONS,
    ...STANDARD_STRINGS,
    ...TIMES,
    ...STRINGS,
    ...LISTS,
    ...LIST_EXTENSIONS,
    ...OPTIONALS,
    ...URLS,
    ...QUANTITIES,
    ...ADDRESSES,
    ...FORMATS_LIBRARY,
    ...SEMANTIC_VERSIONS,
    ...AUTHORIZATION,
  ]);
  return table;
}
