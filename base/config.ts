/**
 * One table of keys describes a process's configuration; each key is a line of the YAML file, a flag and an environment variable:
 * `proxyMode: iptables`, `--proxy-mode iptables`, `CORACLE_PROXY_MODE=iptables`. Flags win over the environment, the environment over
 * the file, the file over the default.
 */

export interface ConfigKey {
  readonly type: 'string' | 'number' | 'boolean' | 'list';
  readonly default: string | number | boolean | readonly string[];
  /** One line for --help, ending without a full stop. */
  readonly description: string;
  /** The only values allowed. */
  readonly oneOf?: readonly string[];
  /** Of numbers: the smallest and the largest allowed, both whole, as is then every value. */
  readonly range?: readonly [number, number];
}

export type ConfigSpec = Readonly<Record<string, ConfigKey>>;

type ValueOf<K extends ConfigKey> = K['type'] extends 'string'
  ? string
  : K['type'] extends 'number'
    ? number
    : K['type'] extends 'boolean'
      ? boolean
      : readonly string[];

export type ConfigOf<S extends ConfigSpec> = { readonly [K in keyof S]: ValueOf<S[K]> };

/** The user's mistake, worded for the user: what is wrong, where, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface ConfigSources {
  /** The parsed YAML file, and its name for messages. */
  readonly file?: { readonly name: string; readonly content: unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Arguments after the subcommand. */
  readonly argv: readonly string[];
}

export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
export const variableOf = (key: string): string =>
  `CORACLE_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/** Throws ConfigError on the first mistake. */
export function parseConfig<S extends ConfigSpec>(spec: S, sources: ConfigSources): ConfigOf<S> {
  const values: Record<string, unknown> = {};
  for (const [key, { default: fallback }] of Object.entries(spec)) values[key] = fallback;
  Object.assign(
    values,
    fromFile(spec, sources.file),
    fromEnvironment(spec, sources.env),
    fromFlags(spec, sources.argv),
  );
  return values as ConfigOf<S>;
}

/** The value of `--config`, which must be known before the file can be read. */
export function findConfigPath(argv: readonly string[], fallback: string): string {
  const index = argv.findIndex((word) => word === '--config' || word.startsWith('--config='));
  if (index < 0) return fallback;
  const word = argv[index]!;
  return word.includes('=') ? word.slice(word.indexOf('=') + 1) : (argv[index + 1] ?? fallback);
}

export function renderConfigHelp(spec: ConfigSpec): string {
  const flags = Object.keys(spec).map(flagOf);
  const width = Math.max(...flags.map((flag) => flag.length));
  return Object.entries(spec)
    .map(([key, { description, default: fallback, oneOf }]) => {
      const choice = oneOf === undefined ? '' : ` (${oneOf.join(', ')})`;
      const preset =
        fallback === '' || (Array.isArray(fallback) && fallback.length === 0) ? '' : ` [${String(fallback)}]`;
      return `  ${flagOf(key).padEnd(width)}  ${description}${choice}${preset}`;
    })
    .join('\n');
}

/** For commands that take no arguments. */
export function refuseArguments(argv: readonly string[]): void {
  if (argv.length > 0) throw new ConfigError(`unexpected argument "${argv[0]}"; see --help`);
}

function fromFile(spec: ConfigSpec, file: ConfigSources['file']): Record<string, unknown> {
  if (file === undefined || file.content === null || file.content === undefined) return {};
  if (typeof file.content !== 'object' || Array.isArray(file.content))
    throw new ConfigError(`${file.name}: expected "key: value" lines`);
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(file.content)) {
    const keySpec = spec[key];
    if (keySpec === undefined)
      throw new ConfigError(`${file.name}: unknown key "${key}"${suggestion(key, Object.keys(spec))}`);
    values[key] = convert(keySpec, value, `${file.name}: ${key}`);
  }
  return values;
}

function fromEnvironment(spec: ConfigSpec, env: ConfigSources['env']): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, keySpec] of Object.entries(spec)) {
    const text = env[variableOf(key)];
    if (text !== undefined) values[key] = convert(keySpec, text, variableOf(key));
  }
  return values;
}

function fromFlags(spec: ConfigSpec, argv: readonly string[]): Record<string, unknown> {
  const byFlag = new Map(Object.keys(spec).map((key) => [flagOf(key), key]));
  const values: Record<string, unknown> = {};
  for (let i = 0; i < argv.length; i++) {
    const [flag, inline] = splitOnce(argv[i]!, '=');
    if (flag === '--config') {
      if (inline === undefined) i += 1;
      continue;
    }
    const key = byFlag.get(flag);
    if (!flag.startsWith('-')) throw new ConfigError(`unexpected argument "${argv[i]}"; see --help`);
    if (key === undefined)
      throw new ConfigError(`unknown flag "${flag}"${suggestion(flag, [...byFlag.keys()])}; see --help`);
    const keySpec = spec[key]!;
    if (keySpec.type === 'boolean' && inline === undefined) {
      values[key] = true;
      continue;
    }
    const text = inline ?? argv[++i];
    if (text === undefined) throw new ConfigError(`${flag} needs a value`);
    values[key] = convert(keySpec, text, flag);
  }
  return values;
}

function convert(keySpec: ConfigKey, value: unknown, where: string): unknown {
  switch (keySpec.type) {
    case 'number': {
      const number = typeof value === 'number' ? value : Number(String(value).trim() || Number.NaN);
      if (!Number.isFinite(number)) throw new ConfigError(`${where}: "${String(value)}" is not a number`);
      const [least, most] = keySpec.range ?? [];
      if (least !== undefined && most !== undefined && !(Number.isInteger(number) && number >= least && number <= most))
        throw new ConfigError(`${where}: ${number} is not a whole number from ${least} to ${most}`);
      return number;
    }
    case 'boolean':
      if (value === true || value === 'true') return true;
      if (value === false || value === 'false') return false;
      throw new ConfigError(`${where}: "${String(value)}" is neither true nor false`);
    case 'list':
      if (Array.isArray(value)) return value.map(String);
      return String(value)
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '');
    case 'string': {
      if (typeof value === 'object' && value !== null) throw new ConfigError(`${where}: expected one value`);
      const text = String(value);
      if (keySpec.oneOf !== undefined && !keySpec.oneOf.includes(text)) {
        throw new ConfigError(`${where}: "${text}" is not one of ${keySpec.oneOf.join(', ')}`);
      }
      return text;
    }
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)];
}

/** Names the key that was probably meant: the one that differs least, when it differs by less than a third. */
function suggestion(word: string, known: readonly string[]): string {
  const ranked = known
    .map((key) => ({ key, distance: editDistance(word.toLowerCase(), key.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.ceil(word.length / 3) ? `; did you mean "${best.key}"?` : '';
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
