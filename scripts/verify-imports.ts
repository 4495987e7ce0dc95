/**
 * Checks the import direction of the house (docs/architecture.md): who may import whom, and which Node modules each folder may touch.
 * Prints every offence and exits 1. `import type` of an interface is allowed where the table says `types`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

interface Rule {
  /** Folder the rule speaks of; the longest match wins. */
  readonly folder: string;
  /** Folders of ours that may be imported, its own included implicitly. */
  readonly may: readonly string[];
  /** Files or folders of which only types may be imported. */
  readonly types?: readonly string[];
  /** Node modules that are forbidden here. */
  readonly notNode?: readonly string[];
}

const OS_MODULES = ['fs', 'fs/promises', 'child_process', 'net', 'dgram', 'worker_threads'];

const RULES: readonly Rule[] = [
  { folder: 'base', may: [], notNode: ['fs', 'fs/promises', 'child_process', 'net', 'http2', 'tls', 'sqlite'] },
  { folder: 'api', may: ['base'], notNode: ['fs', 'fs/promises', 'child_process', 'sqlite', 'http2', 'tls', 'net'] },
  { folder: 'api/client', may: ['base', 'api'], notNode: ['child_process', 'sqlite'] },
  { folder: 'controller/store', may: ['base', 'protos', 'api/object', 'api/meta', 'api/codec', 'api/schema'] },
  {
    folder: 'controller/apiserver',
    may: ['base', 'api', 'controller/pki', 'controller/tunnel'],
    types: ['controller/store'],
    notNode: ['child_process', 'sqlite'],
  },
  { folder: 'controller/scheduler', may: ['base', 'api'], notNode: [...OS_MODULES, 'sqlite'] },
  { folder: 'controller/controllers', may: ['base', 'api'], notNode: [...OS_MODULES, 'sqlite'] },
  { folder: 'controller/cloud', may: ['base', 'api'], notNode: [...OS_MODULES, 'sqlite'] },
  { folder: 'controller/pki', may: ['base', 'api'] },
  { folder: 'controller/tunnel', may: ['base', 'api'] },
  { folder: 'controller', may: ['base', 'api', 'controller'] },
  { folder: 'agent/host', may: ['base'] },
  { folder: 'agent/cri', may: ['base', 'protos', 'api/codec'], types: ['agent/host'] },
  { folder: 'agent/plugins', may: ['base', 'protos', 'api/codec'], types: ['agent/host', 'agent/kubelet'] },
  { folder: 'agent/kubelet', may: ['base', 'api'], types: ['agent/cri', 'agent/host'], notNode: OS_MODULES },
  { folder: 'agent/proxy', may: ['base', 'api'], types: ['agent/host'], notNode: OS_MODULES },
  { folder: 'agent/network', may: ['base', 'api'], types: ['agent/host'], notNode: OS_MODULES },
  {
    folder: 'agent/tunnel',
    may: ['base', 'api'],
    types: ['agent/host'],
    notNode: ['fs', 'fs/promises', 'child_process'],
  },
  {
    folder: 'agent/identity',
    may: ['base', 'api'],
    types: ['agent/host'],
    notNode: ['fs', 'fs/promises', 'child_process'],
  },
  { folder: 'agent', may: ['base', 'api', 'agent'] },
];

/** A class that crosses the line as a value on purpose: error types are needed by `catch`. */
const VALUE_EXCEPTIONS = new Set(['agent/cri/runtime.ts', 'agent/host/host.ts', 'controller/store/store.ts']);

const ALIASES: Readonly<Record<string, string>> = {
  '#base/': 'base/',
  '#api/': 'api/',
  '#controller/': 'controller/',
  '#agent/': 'agent/',
  '#test/': 'test/',
};

const IMPORT = /^\s*(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

const root = normalize(join(import.meta.dirname, '..'));

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

const isUnder = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

function ruleFor(file: string): Rule | undefined {
  return RULES.filter((rule) => isUnder(file, rule.folder)).sort((a, b) => b.folder.length - a.folder.length)[0];
}

function resolve(specifier: string, file: string): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(file), specifier));
  for (const [alias, folder] of Object.entries(ALIASES)) {
    if (specifier.startsWith(alias)) return folder + specifier.slice(alias.length);
  }
  return undefined;
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(IMPORT)) found.push({ specifier: match[2]!, typeOnly: match[1] !== undefined });
  for (const match of text.matchAll(DYNAMIC)) found.push({ specifier: match[1]!, typeOnly: true });
  return found;
}

function offence(file: string, rule: Rule, { specifier, typeOnly }: Import): string | undefined {
  if (specifier.startsWith('node:')) {
    const builtin = specifier.slice('node:'.length);
    return !typeOnly && rule.notNode?.includes(builtin) ? `${specifier} is not for ${rule.folder}` : undefined;
  }
  const target = resolve(specifier, file);
  if (target === undefined) return undefined;
  if (isUnder(target, rule.folder)) return undefined;
  if (rule.may.some((folder) => isUnder(target, folder))) return undefined;
  if (rule.types?.some((folder) => isUnder(target, folder)) && (typeOnly || VALUE_EXCEPTIONS.has(target)))
    return undefined;
  return `${rule.folder} may not import ${target}`;
}

/** Every import cycle's closing edge, found by depth-first search over value imports. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (file: string, path: readonly string[]): void => {
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === 'open') found.push([...path.slice(path.indexOf(next)), next].join(' -> '));
      else if (!state.has(next)) visit(next, [...path, next]);
    }
    state.set(file, 'done');
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file, [file]);
  return found;
}

const files = ['base', 'api', 'controller', 'agent'].flatMap(sources);
const offences: string[] = [];
const graph = new Map<string, string[]>();
for (const file of files) {
  const isTest = file.endsWith('.test.ts') || file.includes('/testing/');
  const imports = importsOf(readFileSync(join(root, file), 'utf8'));
  const rule = ruleFor(file);
  if (rule !== undefined && !isTest) {
    for (const found of imports) {
      const text = offence(file, rule, found);
      if (text !== undefined) offences.push(`${file}: ${text}`);
    }
  }
  graph.set(
    file,
    imports.filter((found) => !found.typeOnly).flatMap((found) => resolve(found.specifier, file) ?? []),
  );
}
for (const cycle of cycles(graph)) offences.push(`import cycle: ${cycle}`);

for (const text of offences) console.error(text);
console.error(`verify-imports: ${files.length} files, ${offences.length} offences`);
process.exitCode = offences.length === 0 ? 0 : 1;
