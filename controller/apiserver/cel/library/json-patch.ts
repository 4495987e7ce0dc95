import { type FunctionTable, functionTable, global } from './function-table.ts';

/** What mutating policies have besides all others. */
export const JSON_PATCH_FUNCTIONS: FunctionTable = functionTable([
  global('jsonpatch.escapeKey', 'string_jsonpatch_escapeKey_string', '(string) -> string', ([key]) =>
    (key as string).replaceAll('~', '~0').replaceAll('/', '~1'),
  ),
]);
