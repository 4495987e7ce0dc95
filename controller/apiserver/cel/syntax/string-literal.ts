import { SourceError } from './source-issue.ts';

const SIMPLE: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '?': '?',
  '"': '"',
  "'": "'",
  '`': '`',
};

const ESCAPE = /\\(?:([abfnrtv\\?"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|)/g;

type Emit = (piece: { readonly text: string } | { readonly code: number; readonly isUnicode: boolean }) => void;

function decode(body: string, offset: number, emit: Emit): void {
  let at = 0;
  for (const match of body.matchAll(ESCAPE)) {
    if (match.index > at) emit({ text: body.slice(at, match.index) });
    const [all, simple, hex, short, long, octal] = match;
    if (all === '\\') throw new SourceError(`invalid escape sequence in literal`, offset);
    if (simple !== undefined) emit({ text: SIMPLE[simple] as string });
    else if (hex !== undefined) emit({ code: Number.parseInt(hex, 16), isUnicode: false });
    else if (octal !== undefined) emit({ code: Number.parseInt(octal, 8), isUnicode: false });
    else emit({ code: Number.parseInt((short ?? long) as string, 16), isUnicode: true });
    at = match.index + all.length;
  }
  if (at < body.length) emit({ text: body.slice(at) });
}

/** The text that a quoted literal stands for; `\x41` and `\101` are code points here. */
export function unescapeText(body: string, offset: number): string {
  if (!body.includes('\\')) return body;
  let text = '';
  decode(body, offset, (piece) => {
    if ('text' in piece) text += piece.text;
    else if (piece.code > 0x10ffff || (piece.code >= 0xd800 && piece.code < 0xe000)) {
      throw new SourceError('invalid unicode code point in literal', offset);
    } else text += String.fromCodePoint(piece.code);
  });
  return text;
}

/** The bytes of a `b"..."` literal; text in it is UTF-8, `\x41` and `\101` are single bytes. */
export function unescapeBytes(body: string, offset: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  decode(body, offset, (piece) => {
    if ('text' in piece) chunks.push(new TextEncoder().encode(piece.text));
    else if (piece.isUnicode)
      throw new SourceError('unicode escape sequences are not allowed in bytes literals', offset);
    else chunks.push(Uint8Array.of(piece.code));
  });
  return new Uint8Array(Buffer.concat(chunks));
}
