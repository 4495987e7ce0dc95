import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { kubectlPath } from './kubectl.ts';
import { programEnvironment } from './program.ts';

const root = join(import.meta.dirname, '..', '..');

/** A line of a table in docs/cis-benchmark.md. */
export interface CisCheck {
  readonly id: string;
  readonly what: string;
  readonly command: string;
  readonly expected: RegExp;
}

const code = (cell: string): string => cell.replace(/^`|`$/g, '');

/** The checks below a heading of the page. A pipe within a cell is written `\|`, as Markdown wants it. */
export function cisChecks(heading: string): readonly CisCheck[] {
  const page = readFileSync(join(root, 'docs', 'cis-benchmark.md'), 'utf8');
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const rows = section.split('\n').filter((line) => /^\| \d/.test(line));
  return rows.map((row) => {
    const [id = '', what = '', command = '', expected = ''] = row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('\\|', '|'));
    return { id, what, command: code(command), expected: new RegExp(code(expected)) };
  });
}

export interface CisPlace {
  /** What the commands call $DATA, $SERVER ... */
  readonly variables: Readonly<Record<string, string>>;
  /** Words in front of the shell, to run it elsewhere. */
  readonly enter?: readonly string[];
}

/** What the command prints. Whether it succeeds does not matter: refusals are what many of them are for. */
export function runCisCheck({ command }: CisCheck, { variables, enter = [] }: CisPlace): Promise<string> {
  const programs = [dirname(kubectlPath()), join(root, 'bin'), process.env.PATH].join(':');
  const env = { ...process.env, ...programEnvironment, ...variables, PATH: programs };
  const [program = 'bash', ...args] = [...enter, 'bash', '-c', command];
  return new Promise((resolve) => {
    execFile(program, args, { env, timeout: 150_000, encoding: 'utf8' }, (_err, stdout) => resolve(stdout.trim()));
  });
}
