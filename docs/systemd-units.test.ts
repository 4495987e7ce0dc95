import { spawnSync } from 'node:child_process';
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

  it('may write only what it makes, or what may be missing', () => {
    const values = (key: string) =>
      [...read(`systemd/${file}`).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].flatMap((m) => m[1]!.split(' '));
    const made = values('StateDirectory').map((dir) => `/var/lib/${dir}`);
    // systemd starts no unit one of whose paths is missing, unless a minus says that it may be.
    expect(values('ReadWritePaths').filter((path) => !path.startsWith('-') && !made.includes(path))).toEqual([]);
    if (values('ProtectSystem').includes('strict')) expect(made).toContain(places.get('state'));
  });

  it('is started by scripts/up and stopped by scripts/down', () => {
    expect(up).toMatch(new RegExp(`^ *start_service ${name} `, 'm'));
    expect(down).toContain(`\nstop_service ${name}\n`);
  });
});

/** Offline, by the unit's own lines; undefined where systemd is not installed, or too old to judge a file. */
function exposureOf(file: string): string | undefined {
  const args = ['security', '--offline=true', '--no-pager', join(root, 'systemd', file)];
  const { stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  return /Overall exposure level for .*: ([\d.]+)/.exec(stdout ?? '')?.[1];
}

describe('docs/hardening.md', () => {
  const scores = [...read('docs/hardening.md').matchAll(/^\| `(coracle-\w+)` +\| ([\d.]+) +\|$/gm)];

  it('has a score for every unit', () => {
    const named = scores.map(([, unit]) => `${unit}.service`).sort();
    expect(named).toEqual(readdirSync(join(root, 'systemd')).sort());
  });

  it.each(scores.map(([, unit, score]) => [unit!, score!]))('tells the score of %s', (unit, score) => {
    const measured = exposureOf(`${unit}.service`);
    if (measured === undefined)
      console.warn(`the score of ${unit} is not compared: no systemd-analyze that judges files`);
    else expect(measured).toBe(score);
  });
});
