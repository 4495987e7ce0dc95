import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileProto, protoFiles, protosFolder } from '../scripts/update-protos.ts';

const reference = join(import.meta.dirname, '..', '..', 'shared', 'reference', 'cri-v1.tsv');

describe('protocol descriptors', () => {
  it.each(protoFiles())('%s is compiled (else run scripts/update-protos.ts)', (file) => {
    const source = readFileSync(join(protosFolder, file), 'utf8');
    const compiled = readFileSync(join(protosFolder, file.replace(/\.proto$/, '.json')), 'utf8');
    expect(compiled).toBe(compileProto(source));
  });

  it.skipIf(!existsSync(reference))(
    'CRI fields carry the numbers of the protocol (skipped without the reference table)',
    () => {
      const facts = new Set(
        readFileSync(reference, 'utf8')
          .split('\n')
          .map((line) => line.split('\t'))
          .filter(([kind]) => kind === 'field')
          .map(([, message, label, type, name, number]) => [message, label, type, name, number].join(' ')),
      );
      const source = readFileSync(join(protosFolder, 'cri-v1.proto'), 'utf8');
      let message = '';
      for (const line of source.split('\n')) {
        message = /^message (\w+)/.exec(line)?.[1] ?? message;
        const field = /^ {2}(repeated )?([\w<>, ]+?) (\w+) = (\d+);$/.exec(line);
        if (field === null || message === '' || !/^[a-z]/.test(field[3]!)) continue;
        const [, label = '', type, name, number] = field;
        expect(facts).toContain([message, label.trim(), type!.replace(', ', ','), name, number].join(' '));
      }
    },
  );
});
