import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const up = read('scripts/up');
const down = read('scripts/down');

/** `name=/path` lines of the shared part: `$prefix`, `$run_dir` ... */
const places = new Map([...read('scripts/lib.sh').matchAll(/^(\w+)=(\/\S+)$/gm)].map((m) => [m[1]!, m[2]!]));
const expand = (text: string) => text.replaceAll(/\$(\w+)/g, (whole, name: string) => places.get(name) ?? whole);

/** Files that scripts/up copies or links to their place. */
const installed = new Set([...up.matchAll(/^\s*(?:install|ln|cp|mv) .* "?(\S+?)"?$/gm)].map((m) => expand(m[1]!)));
/** Programs that come with the packages that it installs. */
const programs = new Set([...up.matchAll(/\b([\w.-]+)=[\w.-]+/g)].map((m) => m[1]!));

/** What a unit needs to be there before it starts: the programs that it runs, and the pages that it points at. */
function filesOf(unit: string): string[] {
  const commands = [...unit.matchAll(/^Exec\w+=[-@:+!]*(\S+)/gm)].map((m) => m[1]!);
  const pages = [...unit.matchAll(/^Documentation=file:(\S+)/gm)].map((m) => m[1]!);
  return [...commands, ...pages];
}

const isInstalled = (file: string) =>
  installed.has(file) ||
  // systemd looks a bare name up itself.
  programs.has(file) ||
  (['/usr/bin', '/usr/sbin'].includes(dirname(file)) && programs.has(basename(file)));

describe.each(readdirSync(join(root, 'systemd')))('systemd/%s', (file) => {
  const name = /^coracle-(\w+)\.service$/.exec(file)?.[1] ?? '';

  it('names files that scripts/up installs', () => {
    const files = filesOf(read(`systemd/${file}`));
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((path) => !isInstalled(path))).toEqual([]);
  });

  it('is started by scripts/up and stopped by scripts/down', () => {
    expect(up).toContain(`\nstart_service ${name} `);
    expect(down).toContain(`\nstop_service ${name}\n`);
  });
});
