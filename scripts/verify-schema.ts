import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileSchema } from './schema-compiler.ts';
import { referenceFolder, renderSchema, schemaFile } from './schema-files.ts';

/** Fails when api/schema/builtin-types.json is not what update-schema would write: `node scripts/verify-schema.ts [folder]`. */
const folder = referenceFolder(process.argv[2]);
if (!existsSync(folder)) {
  console.log(`verify-schema: skipped, no reference facts at ${folder}`);
} else {
  const { compiled } = compileSchema(
    readFileSync(join(folder, 'k8s-1.36-schema.json'), 'utf8'),
    readFileSync(join(folder, 'k8s-1.36-proto.tsv'), 'utf8'),
  );
  if (renderSchema(compiled) !== readFileSync(schemaFile, 'utf8')) {
    console.error(`${schemaFile} is out of date: run node scripts/update-schema.ts`);
    process.exitCode = 1;
  } else {
    console.log('verify-schema: up to date');
  }
}
