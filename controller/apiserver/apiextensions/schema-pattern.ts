const compiled = new Map<string, RegExp>();
/** Patterns come with CustomResourceDefinitions, which come and go. */
const MAX_COMPILED = 1_000;

/**
 * A schema's pattern as a RegExp. Patterns are written for Go: flags at the beginning, named groups, `\A`, `\z`, `\Q…\E`, POSIX classes and
 * possessive-free syntax are brought into JavaScript's form. Throws SyntaxError for what is no pattern.
 */
export function compiledPattern(pattern: string): RegExp {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const regexp = compile(pattern);
  if (compiled.size >= MAX_COMPILED) compiled.clear();
  compiled.set(pattern, regexp);
  return regexp;
}

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7F',
  blank: '\\t ',
  cntrl: '\\x00-\\x1F\\x7F',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};

function compile(pattern: string): RegExp {
  const leading = /^\(\?([ims]+)\)/.exec(pattern);
  const flags = leading?.[1] ?? '';
  const source = pattern
    .slice(leading?.[0].length ?? 0)
    .replaceAll(/\(\?P</g, '(?<')
    .replaceAll(/\[:(\w+):\]/g, (whole, name: string) => POSIX_CLASSES[name] ?? whole)
    .replaceAll(/\\Q(.*?)\\E/g, (_whole, literal: string) => RegExp.escape(literal))
    .replaceAll(/\\A/g, '^')
    .replaceAll(/\\z/g, '$');
  try {
    return new RegExp(source, `${flags}u`);
  } catch {
    // Go allows escapes of characters that need none; only JavaScript's older syntax does.
    return new RegExp(source, flags);
  }
}
