import { type CelType, listOf, mapOf, opaque, optionalOf, param, type SimpleName, typeOf } from './cel-type.ts';

export interface Signature {
  readonly params: readonly CelType[];
  readonly result: CelType;
}

const SIMPLE: ReadonlySet<string> = new Set<SimpleName>([
  'dyn',
  'null',
  'bool',
  'int',
  'uint',
  'double',
  'string',
  'bytes',
  'timestamp',
  'duration',
]);

/**
 * Reads `(list(A), int) -> A`. Capital letters are parameters, names with a dot or an unknown name are opaque types.
 * Only for the tables of the libraries: text that it cannot read is a mistake of ours.
 */
export function parseSignature(text: string): Signature {
  const tokens = text.match(/->|[(),]|[\w.]+/g) ?? [];
  let at = 0;
  const readType = (): CelType => {
    const name = tokens[at++] as string;
    const args: CelType[] = [];
    if (tokens[at] === '(') {
      while (tokens[at++] !== ')') args.push(readType());
    }
    return typeOfName(name, args);
  };
  const params: CelType[] = [];
  at = 1;
  while (tokens[at] !== ')') {
    params.push(readType());
    if (tokens[at] === ',') at++;
  }
  at += 2;
  return { params, result: readType() };
}

function typeOfName(name: string, args: readonly CelType[]): CelType {
  const [first, second] = args as [CelType, CelType];
  if (name === 'list') return listOf(first);
  if (name === 'map') return mapOf(first, second);
  if (name === 'optional') return optionalOf(first);
  if (name === 'type') return typeOf(first);
  if (/^[A-Z]$/.test(name)) return param(name);
  return SIMPLE.has(name) ? { kind: 'simple', name: name as SimpleName } : opaque(name);
}
