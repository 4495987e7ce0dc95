/**
 * Compiles protos/*.proto into the JSON descriptors beside them, which the agent and the store load: JSON needs no parser at run time
 * and travels in the bundle like any module. A test (protos/descriptors.test.ts) fails when they differ.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';

export const protosFolder = join(import.meta.dirname, '..', 'protos');

export function protoFiles(): string[] {
  return readdirSync(protosFolder).filter((name) => name.endsWith('.proto'));
}

export function compileProto(text: string): string {
  const { root } = protobuf.parse(text, { keepCase: true });
  return `${JSON.stringify(root.resolveAll().toJSON())}\n`;
}

if (import.meta.main) {
  for (const file of protoFiles()) {
    const source = readFileSync(join(protosFolder, file), 'utf8');
    writeFileSync(join(protosFolder, file.replace(/\.proto$/, '.json')), compileProto(source));
  }
}
