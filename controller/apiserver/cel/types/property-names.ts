/** Names that CEL keeps for itself; as properties they are written `__for__`. */
const KEYWORDS: ReadonlySet<string> = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

const ESCAPES: Readonly<Record<string, string>> = { '.': '__dot__', '-': '__dash__', '/': '__slash__' };

/**
 * How an expression spells a property of an object with a schema (`a-b` is `a__dash__b`); undefined for properties that it cannot
 * reach. Keys of maps are never escaped.
 */
export function escapePropertyName(name: string): string | undefined {
  if (KEYWORDS.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  const escaped = name.replace(/__|[./-]/g, (part) => ESCAPES[part] ?? '__underscores__');
  return /^[A-Za-z_]/.test(escaped) ? escaped : undefined;
}
