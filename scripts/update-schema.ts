import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileSchema } from './schema-compiler.ts';
import { referenceFolder, renderSchema, schemaFile } from './schema-files.ts';

/** Writes api/schema/builtin-types.json from the reference facts: `node scripts/update-schema.ts [folder]`. */
const folder = referenceFolder(process.argv[2]);
const { compiled, unmatched } = compileSchema(
  readFileSync(join(folder, 'k8s-1.36-schema.json'), 'utf8'),
  readFileSync(join(folder, 'k8s-1.36-proto.tsv'), 'utf8'),
);
for (const finding of unmatched) console.warn(`no partner for ${finding}`);
writeFileSync(schemaFile, renderSchema(compiled));
console.log(`${schemaFile}: ${compiled.names.length} types, ${compiled.kinds.length} kinds`);
