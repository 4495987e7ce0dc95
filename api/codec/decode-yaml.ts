import { type Document, isMap, isScalar, isSeq, type ParsedNode, parseDocument, type Tags } from 'yaml';
import { ApiError, badRequest } from '../object/api-error.ts';
import { type ParsedJson, parseJsonStrict } from './parse-json.ts';

/**
 * Reads YAML as Kubernetes does: YAML 1.1 (`0644` is octal, `yes` is true), but without the 1.1 types that Go's reader does not have
 * (dates stay text, no base 60). Aliases are bounded against expansion bombs. Throws ApiError 400.
 */
export function decodeYaml(bytes: Uint8Array): ParsedJson {
  const asJson = parseAsJson(bytes);
  if (asJson !== undefined) return asJson;
  refuseDepth(bytes);
  const text = decodeText(bytes);
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    customTags: withoutForeignTypes,
    // The library compares every pair of keys, which a client could turn into minutes; findDuplicates does it in one pass.
    uniqueKeys: false,
  });
  refuseErrors(document);
  const duplicateFields: string[] = [];
  findDuplicates(document.contents, '', duplicateFields);
  return { value: toJson(document), duplicateFields };
}

/** Clients mostly send JSON as YAML (kubectl's applies do), and JSON is read a hundred times faster. */
function parseAsJson(bytes: Uint8Array): ParsedJson | undefined {
  if (bytes[0] !== OPENING_BRACE) return undefined;
  try {
    return parseJsonStrict(bytes);
  } catch (err) {
    // A flow mapping of YAML begins the same way; what is wrong with it is for the YAML reader to say.
    if (err instanceof ApiError) return undefined;
    throw err;
  }
}

const OPENING_BRACE = 0x7b;

/** More brackets that nothing closes than any text has, be it a script in a ConfigMap: those in strings count too. */
const MAX_OPEN_BRACKETS = 5_000;

/** The reader would take half a second of the event loop for nesting that is refused afterwards anyway. */
function refuseDepth(bytes: Uint8Array): void {
  let open = 0;
  for (const byte of bytes) {
    if (byte === OPENING_BRACE || byte === 0x5b) {
      if (++open > MAX_OPEN_BRACKETS) throw badRequest(`${PREFIX}exceeded max depth`);
    } else if ((byte === 0x7d || byte === 0x5d) && open > 0) open--;
  }
}

/** Later keys win, and each one is named. Aliased nodes are visited where they are defined. */
function findDuplicates(node: unknown, path: string, found: string[]): void {
  if (isSeq(node)) {
    for (const [index, item] of node.items.entries()) findDuplicates(item, `${path}[${index}]`, found);
  }
  if (!isMap(node)) return;
  const seen = new Set<string>();
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const keyPath = path === '' ? name : `${path}.${name}`;
    if (seen.has(name) && name !== '<<') found.push(`duplicate field "${keyPath}"`);
    seen.add(name);
    findDuplicates(value, keyPath, found);
  }
}

const PREFIX = 'error converting YAML to JSON: yaml: ';
const FOREIGN = /:(timestamp|set|omap|pairs|binary)$/;

function withoutForeignTypes(tags: Tags): Tags {
  return tags.filter(
    (tag) => typeof tag === 'string' || !(FOREIGN.test(tag.tag) || ('format' in tag && tag.format === 'TIME')),
  );
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (err) {
    if (!(err instanceof TypeError)) throw err;
    throw badRequest(`${PREFIX}invalid UTF-8`);
  }
}

function refuseErrors(document: Document.Parsed<ParsedNode>): void {
  const error = document.errors[0];
  if (error === undefined) return;
  const line = error.linePos?.[0].line;
  const message = error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '');
  throw badRequest(`${PREFIX}${line === undefined ? '' : `line ${line}: `}${message}`);
}

function toJson(document: Document.Parsed<ParsedNode>): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (err) {
    throw badRequest(`${PREFIX}${err instanceof Error ? err.message : String(err)}`);
  }
}
