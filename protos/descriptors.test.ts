import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileProto, protoFiles, protosFolder } from '../scripts/update-protos.ts';

const reference = (name: string) => join(import.meta.dirname, '..', '..', 'shared', 'reference', `${name}.tsv`);

describe('protocol descriptors', () => {
  it.each(protoFiles())('%s is compiled (else run scripts/update-protos.ts)', (file) => {
    const source = readFileSync(join(protosFolder, file), 'utf8');
    const compiled = readFileSync(join(protosFolder, file.replace(/\.proto$/, '.json')), 'utf8');
    expect(compiled).toBe(compileProto(source));
  });

  for (const name of ['cri-v1', 'etcd-v3', 'plugin-registration-v1']) {
    const title = `${name}: fields carry the numbers of the protocol (skipped without the reference table)`;
    it.skipIf(!existsSync(reference(name)))(title, () => {
      const facts = new Set(
        readFileSync(reference(name), 'utf8')
          .split('\n')
          .map((line) => line.split('\t'))
          .filter(([kind]) => kind === 'field')
          .map(([, message, label, type, field, number]) => renderFact({ message, label, type, field, number })),
      );
      const source = readFileSync(join(protosFolder, `${name}.proto`), 'utf8');
      let message = '';
      for (const line of source.split('\n')) {
        message = /^message (\w+)/.exec(line)?.[1] ?? message;
        const match = /^ {2}(?: {2})?(repeated )?([\w<>, ]+?) (\w+) = (\d+);$/.exec(line);
        if (match === null || message === '' || !/^\w+ \w/.test(`${match[2]} ${match[3]}`)) continue;
        const [, label, type, field, number] = match;
        expect(facts).toContain(renderFact({ message, label, type, field, number }));
      }
    });
  }
});

type Fact = Readonly<Record<'message' | 'label' | 'type' | 'field' | 'number', string | undefined>>;

/** One spelling for the table's facts and for ours: members of a oneof carry a label there, packages a prefix. */
function renderFact({ message, label = '', type = '', field, number }: Fact): string {
  const repeated = label.trim() === 'repeated' ? 'repeated' : '';
  return [message, repeated, type.replace(', ', ',').replace(/^mvccpb\./, ''), field, number].join(' ');
}
