/**
 * Canonical JSON of an object is stored without its resourceVersion, because the revision is known only when the write is accepted.
 * These functions put it in and take it out of the encoded form without decoding: the canonical form begins with
 * `{"apiVersion":"…","kind":"…","metadata":{`, whatever the strings contain, and resourceVersion goes first into metadata.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const ZERO = 0x30;

const ascii = (text: string) => new TextEncoder().encode(text);
const API_VERSION = ascii('{"apiVersion":"');
const KIND = ascii(',"kind":"');
const METADATA = ascii(',"metadata":{');
const RESOURCE_VERSION = ascii('"resourceVersion":"');
const MANAGED_FIELDS = ascii('"managedFields":[');

/** The encoded object with `"resourceVersion":"<revision>"` as the first field of metadata; a new array that owns its buffer. */
export function withResourceVersion(bytes: Uint8Array, revision: number): Uint8Array {
  const at = metadataStart(bytes);
  const digits = decimalDigits(revision);
  const isEmpty = bytes[at] === CLOSE_BRACE;
  const inserted = RESOURCE_VERSION.length + digits + (isEmpty ? 1 : 2);
  const result = new Uint8Array(bytes.length + inserted);
  // Copied whole and moved apart: two views of the pieces would cost more than copying a kilobyte twice.
  result.set(bytes);
  result.copyWithin(at + inserted, at, bytes.length);
  result.set(RESOURCE_VERSION, at);
  writeDecimal(result, at + RESOURCE_VERSION.length, digits, revision);
  result[at + RESOURCE_VERSION.length + digits] = QUOTE;
  if (!isEmpty) result[at + inserted - 1] = COMMA;
  return result;
}

/** The inverse of `withResourceVersion`: an equal copy where the first field of metadata is not resourceVersion. */
export function withoutResourceVersion(bytes: Uint8Array): Uint8Array {
  const at = metadataStart(bytes);
  if (!matches(bytes, at, RESOURCE_VERSION)) return Uint8Array.from(bytes);
  let end = stringEnd(bytes, at + RESOURCE_VERSION.length);
  if (bytes[end] === COMMA) end += 1;
  const result = new Uint8Array(bytes.length - (end - at));
  result.set(bytes.subarray(0, at), 0);
  result.set(bytes.subarray(end), at);
  return result;
}

/** Whether two encoded objects, one with a resourceVersion and one without, are the same in everything else. Copies nothing. */
export function equalsWithoutResourceVersion(versioned: Uint8Array, bare: Uint8Array): boolean {
  const at = metadataStart(versioned);
  if (!matches(versioned, at, RESOURCE_VERSION)) return Buffer.compare(versioned, bare) === 0;
  let end = stringEnd(versioned, at + RESOURCE_VERSION.length);
  if (versioned[end] === COMMA) end += 1;
  if (versioned.length - (end - at) !== bare.length) return false;
  return (
    Buffer.compare(versioned.subarray(0, at), bare.subarray(0, at)) === 0 &&
    Buffer.compare(versioned.subarray(end), bare.subarray(at)) === 0
  );
}

/** What the last call found: those that are stored one after the other are mostly of one kind. */
let latest = { bytes: ascii('""'), apiVersion: '' };

/** `apiVersion` of a canonical object, read without decoding the rest. */
export function apiVersionOfBytes(bytes: Uint8Array): string {
  if (!matches(bytes, 0, API_VERSION)) throw notCanonical();
  const start = API_VERSION.length - 1;
  if (!matches(bytes, start, latest.bytes)) {
    const quoted = bytes.slice(start, stringEnd(bytes, start + 1));
    latest = { bytes: quoted, apiVersion: JSON.parse(new TextDecoder().decode(quoted)) as string };
  }
  return latest.apiVersion;
}

/** `metadata` of a canonical object as it stands there, braces included: a view into `bytes`, found without decoding. */
export function metadataOfBytes(bytes: Uint8Array): Uint8Array {
  const start = metadataStart(bytes) - 1;
  return bytes.subarray(start, containerEnd(bytes, start));
}

/** The same without managedFields, which is half of it: views that make up the rest when they are put together. */
export function leanMetadataOfBytes(bytes: Uint8Array): readonly Uint8Array[] {
  const metadata = metadataOfBytes(bytes);
  // No text can hold these bytes, because its quotes would be escaped, and no other field of metadata that has the name is a list.
  const at = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.byteLength).indexOf(MANAGED_FIELDS);
  if (at < 0) return [metadata];
  const end = containerEnd(metadata, at + MANAGED_FIELDS.length - 1);
  if (metadata[end] === COMMA) return [metadata.subarray(0, at), metadata.subarray(end + 1)];
  return [metadata.subarray(0, metadata[at - 1] === COMMA ? at - 1 : at), metadata.subarray(end)];
}

/** Index of the first byte after `"metadata":{`. */
function metadataStart(bytes: Uint8Array): number {
  if (!matches(bytes, 0, API_VERSION)) throw notCanonical();
  let at = stringEnd(bytes, API_VERSION.length);
  if (!matches(bytes, at, KIND)) throw notCanonical();
  at = stringEnd(bytes, at + KIND.length);
  if (!matches(bytes, at, METADATA)) throw notCanonical();
  return at + METADATA.length;
}

/** Index after the object or list that starts at `start`. */
function containerEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = stringEnd(bytes, at + 1) - 1;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (--depth === 0) return at + 1;
        break;
    }
  }
  throw notCanonical();
}

/** Index after the closing quote of the JSON string whose content starts at `at`. */
function stringEnd(bytes: Uint8Array, at: number): number {
  let index = at;
  while (index < bytes.length && bytes[index] !== QUOTE) index += bytes[index] === BACKSLASH ? 2 : 1;
  if (index >= bytes.length) throw notCanonical();
  return index + 1;
}

function matches(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  if (at + expected.length > bytes.length) return false;
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

function decimalDigits(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a revision: ${value}`);
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits += 1;
  return digits;
}

function writeDecimal(target: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    target[i] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

function notCanonical(): Error {
  return new TypeError('not a canonical object: it must begin with apiVersion, kind and metadata');
}
