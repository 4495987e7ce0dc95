import { createCipheriv, createDecipheriv, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BackupError } from './backup-error.ts';
import { ByteReader } from './byte-reader.ts';

/**
 * The envelope of a backup file:
 *
 *     coracle-backup\n
 *     <JSON of Header>\n
 *     <CRC-32 of that line, 8 hex digits> <HMAC-SHA256 of it, 64 hex digits>\n
 *     chunks: AES-256-GCM of CHUNK_BYTES each, the last one shorter, each followed by its tag (16 bytes)
 *
 * scrypt makes the two keys from the passphrase and the file's own salt, so nonces may simply count: 11 bytes of chunk number, one byte
 * that is 1 in the last chunk. So chunks cannot be left out, swapped or cut off unnoticed; the header is authenticated with each.
 */
const MAGIC = 'coracle-backup';
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
/** Longer lines are not ours. */
const MAX_LINE_BYTES = 4096;

interface Header {
  readonly format: 1;
  /** ISO 8601. */
  readonly created: string;
  readonly kdf: { readonly name: 'scrypt'; readonly cost: number; readonly blockSize: 8; readonly salt: string };
}

/** 32 MB and about 0.1 s, 1 s on a Raspberry Pi: for each guess, too. */
const SCRYPT_COST = 2 ** 15;
/** A forged header must not make us take gigabytes. */
const MAX_SCRYPT_COST = 2 ** 20;

interface Keys {
  readonly encryption: Uint8Array;
  readonly header: Uint8Array;
}

/** The bytes of a backup file around `content`. */
export async function* encrypt(
  content: AsyncIterable<Uint8Array>,
  {
    passphrase,
    nowMs,
    scryptCost = SCRYPT_COST,
  }: {
    readonly passphrase: string;
    readonly nowMs: number;
    /** Tests take less. */
    readonly scryptCost?: number;
  },
): AsyncGenerator<Uint8Array, void, undefined> {
  const header: Header = {
    format: 1,
    created: new Date(nowMs).toISOString(),
    kdf: { name: 'scrypt', cost: scryptCost, blockSize: 8, salt: randomBytes(32).toString('base64') },
  };
  const line = JSON.stringify(header);
  const keys = await deriveKeys(passphrase, header);
  yield Buffer.from(`${MAGIC}\n${line}\n${checkOf(line)} ${macOf(line, keys).toString('hex')}\n`);
  const reader = new ByteReader(content);
  for (let number = 0; ; number++) {
    const chunk = await reader.upTo(CHUNK_BYTES);
    const isLast = await reader.isAtEnd();
    const cipher = createCipheriv('aes-256-gcm', keys.encryption, nonceOf(number, isLast));
    cipher.setAAD(Buffer.from(line));
    yield Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
    if (isLast) return;
  }
}

/** What `encrypt` was given. Throws BackupError at the first byte that is not as it was written, or where bytes are missing. */
export async function* decrypt(
  file: AsyncIterable<Uint8Array>,
  { passphrase, name }: { readonly passphrase: string; readonly name: string },
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new ByteReader(file);
  const { line, mac } = await readHead(reader, name);
  const keys = await deriveKeys(passphrase, parseHeader(line, name));
  const expected = macOf(line, keys);
  const found = Buffer.from(mac, 'hex');
  if (found.length !== expected.length || !timingSafeEqual(found, expected))
    throw new BackupError(`${name}: wrong passphrase`);
  for (let number = 0; ; number++) {
    const chunk = await reader.upTo(CHUNK_BYTES + TAG_BYTES);
    const isLast = await reader.isAtEnd();
    const opened = openChunk(chunk, { line, keys, number, isLast });
    if (opened === undefined) {
      const where = `at byte ${number * (CHUNK_BYTES + TAG_BYTES)} of its content`;
      const isCut = isLast && openChunk(chunk, { line, keys, number, isLast: false }) !== undefined;
      throw new BackupError(
        isCut || chunk.length < TAG_BYTES
          ? `${name}: the file ends too early: it was not copied or written to its end`
          : `${name}: garbled or cut off ${where}`,
      );
    }
    yield opened;
    if (isLast) return;
  }
}

async function readHead(reader: ByteReader, name: string): Promise<{ readonly line: string; readonly mac: string }> {
  const magic = await reader.line(MAX_LINE_BYTES);
  if (magic !== MAGIC) throw new BackupError(`${name}: this is no backup of Coracle`);
  const line = await reader.line(MAX_LINE_BYTES);
  const proof = await reader.line(MAX_LINE_BYTES);
  if (line === undefined || proof === undefined) throw new BackupError(`${name}: garbled, or cut off at its beginning`);
  const [check = '', mac = ''] = proof.split(' ');
  if (check !== checkOf(line)) throw new BackupError(`${name}: its beginning is garbled`);
  return { line, mac };
}

function parseHeader(line: string, name: string): Header {
  let header: Partial<Header>;
  try {
    header = JSON.parse(line) as Partial<Header>;
  } catch (err) {
    throw new BackupError(`${name}: its beginning is garbled`, { cause: err });
  }
  if (header.format !== undefined && header.format !== 1)
    throw new BackupError(`${name}: its format ${header.format} is newer than this version of Coracle`);
  const { kdf } = header;
  const isSound =
    header.format === 1 &&
    kdf?.name === 'scrypt' &&
    kdf.blockSize === 8 &&
    Number.isInteger(Math.log2(kdf.cost)) &&
    kdf.cost > 1 &&
    kdf.cost <= MAX_SCRYPT_COST &&
    typeof kdf.salt === 'string';
  if (!isSound) throw new BackupError(`${name}: its beginning is garbled`);
  return header as Header;
}

function deriveKeys(passphrase: string, { kdf }: Header): Promise<Keys> {
  const { promise, resolve, reject } = Promise.withResolvers<Keys>();
  const options = { N: kdf.cost, r: kdf.blockSize, p: 1, maxmem: 256 * kdf.cost * kdf.blockSize + 2 ** 20 };
  // Normalised, so that a passphrase typed on another system is the same one.
  scrypt(passphrase.normalize('NFKC'), Buffer.from(kdf.salt, 'base64'), 64, options, (err, bytes) => {
    if (err === null) resolve({ encryption: bytes.subarray(0, 32), header: bytes.subarray(32) });
    else reject(err);
  });
  return promise;
}

const checkOf = (line: string): string => crc32(line).toString(16).padStart(8, '0');

const macOf = (line: string, keys: Keys): Buffer => createHmac('sha256', keys.header).update(line).digest();

function nonceOf(number: number, isLast: boolean): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(7, number);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

function openChunk(
  chunk: Uint8Array,
  {
    line,
    keys,
    number,
    isLast,
  }: { readonly line: string; readonly keys: Keys; readonly number: number; readonly isLast: boolean },
): Uint8Array | undefined {
  if (chunk.length < TAG_BYTES) return undefined;
  const tagAt = chunk.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', keys.encryption, nonceOf(number, isLast));
  decipher.setAAD(Buffer.from(line));
  decipher.setAuthTag(chunk.subarray(tagAt));
  try {
    return Buffer.concat([decipher.update(chunk.subarray(0, tagAt)), decipher.final()]);
  } catch {
    // Whatever OpenSSL says, it means that the tag does not fit.
    return undefined;
  }
}
