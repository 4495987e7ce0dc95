import { isUtf8 } from 'node:buffer';
import { badRequest } from '../object/api-error.ts';
import { findDuplicateFields } from './duplicate-fields.ts';

export interface ParsedJson {
  readonly value: unknown;
  /** `duplicate field "metadata.name"`: the later value won. */
  readonly duplicateFields: readonly string[];
}

/** Deeper nesting is refused: everything after the parser recurses. */
const MAX_DEPTH = 500;
const NO_FIELDS: readonly string[] = [];
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses JSON of a client. Throws ApiError 400 for malformed JSON, invalid UTF-8 and absurd nesting. Keys such as `__proto__` become
 * plain own properties.
 */
export function parseJsonStrict(bytes: Uint8Array): ParsedJson {
  if (!isUtf8(bytes)) throw badRequest(`${PREFIX}invalid UTF-8`);
  const { keys, depth } = scanStructure(bytes);
  if (depth > MAX_DEPTH) throw badRequest(`${PREFIX}exceeded max depth ${MAX_DEPTH}`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw badRequest(`${PREFIX}${explain(err, text)}`);
  }
  // JSON.parse forgets duplicates silently; fewer keys than colons betray them, and only then is the text read again.
  return { value, duplicateFields: countKeys(value) === keys ? NO_FIELDS : findDuplicateFields(text) };
}

const PREFIX = "couldn't get version/kind; json parse error: ";

/** Colons outside strings, and the deepest nesting; says nothing useful about malformed text, which the parser refuses next. */
function scanStructure(bytes: Uint8Array): { keys: number; depth: number } {
  let keys = 0;
  let level = 0;
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
        break;
      case 0x3a: // :
        keys++;
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (++level > depth) depth = level;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        level--;
        break;
    }
  }
  return { keys, depth };
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object') count += countKeys(item);
    return count;
  }
  const object = value as Record<string, unknown>;
  for (const key in object) {
    count++;
    const item = object[key];
    if (typeof item === 'object' && Object.hasOwn(object, key)) count += countKeys(item);
  }
  return count;
}

/** V8's message without the quoted text (it may hold secrets), and where it happened. */
function explain(err: unknown, text: string): string {
  const message = err instanceof Error ? err.message : String(err);
  if (text.trim() === '') return 'unexpected end of JSON input';
  const position = /at position (\d+)/.exec(message);
  if (position === null) return 'unexpected end of JSON input';
  const at = Number(position[1]);
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - before.lastIndexOf('\n');
  const char = text[at] ?? '';
  return `invalid character ${JSON.stringify(char).replaceAll('"', "'")} at line ${line}, column ${column}`;
}
