import { BackupError } from './backup-error.ts';
import { ByteReader } from './byte-reader.ts';

/** What a backup tells of itself; first record. */
export interface Manifest {
  readonly coracleVersion: string;
  /** ISO 8601. */
  readonly created: string;
  /** Newest revision that the backup holds. */
  readonly revision: number;
  readonly backend: string;
  /** Keys of controller.yaml that shape the cluster, as they were. */
  readonly cluster: Readonly<Record<string, string | number>>;
}

/** One stored object. */
export interface BackedUpObject {
  readonly key: string;
  readonly revision: number;
  /** Canonical JSON without resourceVersion, open. */
  readonly value: Uint8Array;
}

/** A file of the data directory. */
export interface BackedUpFile {
  /** `pki/ca.crt`. */
  readonly name: string;
  readonly content: Uint8Array;
}

export type BackupRecord =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | ({ readonly kind: 'file' } & BackedUpFile)
  | ({ readonly kind: 'object' } & BackedUpObject)
  | { readonly kind: 'end'; readonly objects: number; readonly files: number };

const KINDS = ['manifest', 'file', 'object', 'end'] as const;

/** Far above what a store takes (1.5 MiB); what is larger is not ours. */
const MAX_RECORD_BYTES = 16 * 2 ** 20;
const HEAD_BYTES = 5;

/**
 * A record is a byte for its kind, u32 little-endian for the length of the rest, and the rest: JSON for manifest and end; u16 length of
 * the name, name and content for a file; u16 length of the key, key, f64 revision and value for an object.
 */
export function encodeRecord(record: BackupRecord): Uint8Array {
  const body = encodeBody(record);
  const bytes = Buffer.alloc(HEAD_BYTES + body.length);
  bytes.writeUInt8(KINDS.indexOf(record.kind));
  bytes.writeUInt32LE(body.length, 1);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

function encodeBody(record: BackupRecord): Uint8Array {
  switch (record.kind) {
    case 'manifest':
      return Buffer.from(JSON.stringify(record.manifest));
    case 'end':
      return Buffer.from(JSON.stringify({ objects: record.objects, files: record.files }));
    case 'file':
      return Buffer.concat([named(record.name), record.content]);
    case 'object': {
      const revision = Buffer.alloc(8);
      revision.writeDoubleLE(record.revision);
      return Buffer.concat([named(record.key), revision, record.value]);
    }
  }
}

/** Records up to the end; throws BackupError where it does not come, or does not agree with what came before it. */
export async function* decodeRecords(
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<BackupRecord, void, undefined> {
  const reader = new ByteReader(content);
  const seen = { object: 0, file: 0 };
  for (;;) {
    const record = await decodeRecord(reader);
    yield record;
    if (record.kind === 'object' || record.kind === 'file') seen[record.kind] += 1;
    if (record.kind !== 'end') continue;
    if (record.objects !== seen.object || record.files !== seen.file || !(await reader.isAtEnd()))
      throw new BackupError('the backup does not hold what it says: it was written by a faulty program');
    return;
  }
}

async function decodeRecord(reader: ByteReader): Promise<BackupRecord> {
  const head = Buffer.from(await reader.upTo(HEAD_BYTES));
  if (head.length < HEAD_BYTES) throw new BackupError('the backup ends too early');
  const kind = KINDS[head.readUInt8()];
  const length = head.readUInt32LE(1);
  if (kind === undefined || length > MAX_RECORD_BYTES)
    throw new BackupError('the backup holds something that this version of Coracle does not know');
  const body = Buffer.from(await reader.upTo(length));
  if (body.length < length) throw new BackupError('the backup ends too early');
  switch (kind) {
    case 'manifest':
      return { kind, manifest: JSON.parse(body.toString()) as Manifest };
    case 'end':
      return { kind, ...(JSON.parse(body.toString()) as { objects: number; files: number }) };
    case 'file': {
      const { name, at } = nameOf(body);
      return { kind, name, content: body.subarray(at) };
    }
    case 'object': {
      const { name, at } = nameOf(body);
      return { kind, key: name, revision: body.readDoubleLE(at), value: body.subarray(at + 8) };
    }
  }
}

function named(name: string): Buffer {
  const bytes = Buffer.from(name);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function nameOf(body: Buffer): { readonly name: string; readonly at: number } {
  const at = 2 + body.readUInt16LE();
  return { name: body.toString('utf8', 2, at), at };
}
