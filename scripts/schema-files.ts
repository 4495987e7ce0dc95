import { join } from 'node:path';
import type { CompiledSchema } from './schema-compiler.ts';

const root = join(import.meta.dirname, '..');

export const schemaFile = join(root, 'api/schema/builtin-types.json');

/** Where the reference facts lie: the argument, or the folder beside the repository. */
export function referenceFolder(argument: string | undefined): string {
  return argument ?? join(root, '../shared/reference');
}

/** One type per line, so that a change of facts is a readable diff. */
export function renderSchema(compiled: CompiledSchema): string {
  const lines = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).join(',\n');
  return `{"names":[\n${lines(compiled.names)}\n],"types":[\n${lines(compiled.types)}\n],"kinds":[\n${lines(compiled.kinds)}\n]}\n`;
}
