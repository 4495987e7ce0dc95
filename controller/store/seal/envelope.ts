import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomFillSync } from 'node:crypto';

/** How a value is sealed; the names are those of an EncryptionConfiguration. */
export type CipherName = 'aesgcm' | 'aescbc';

/** What every sealed value begins with, in Kubernetes as here. */
const MARK = Buffer.from('k8s:enc:');
const COLON = 0x3a;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const IV_BYTES = 16;

/** Random nonces are drawn many at a time: one call for each costs more than the encryption of a small value. */
const pool = new Uint8Array(NONCE_BYTES * 256);
let poolAt = pool.length;

/**
 * One key in Kubernetes' envelope: `k8s:enc:<cipher>:v1:<key name>:`, then the data. For aesgcm that is the nonce (12 bytes), the
 * ciphertext and the tag (16), with the storage key (`/registry/secrets/...`) as additional data, so that a value that was copied to
 * another key does not open; for aescbc the IV (16 bytes) and the PKCS #7-padded ciphertext. What kube-apiserver calls an extended nonce
 * belongs to KMS v2 alone.
 */
export class EnvelopeKey {
  readonly cipher: CipherName;
  readonly name: string;
  readonly #prefix: Uint8Array;
  readonly #key: KeyObject;
  readonly #bits: number;

  /** `secret` of 16, 24 or 32 bytes. */
  constructor({ cipher, name, secret }: { cipher: CipherName; name: string; secret: Uint8Array }) {
    this.cipher = cipher;
    this.name = name;
    this.#prefix = Buffer.from(`k8s:enc:${cipher}:v1:${name}:`);
    this.#key = createSecretKey(secret);
    this.#bits = secret.length * 8;
  }

  /** True for values that were sealed under a key of this cipher and name. */
  matches(stored: Uint8Array): boolean {
    return startsWith(stored, this.#prefix);
  }

  seal(storageKey: string, plain: Uint8Array): Uint8Array {
    return this.cipher === 'aesgcm' ? this.#sealGcm(storageKey, plain) : this.#sealCbc(plain);
  }

  /** Throws where the value was sealed under another secret, for another storage key, or was changed since. Owns its memory. */
  open(storageKey: string, stored: Uint8Array): Uint8Array {
    const data = stored.subarray(this.#prefix.length);
    const parts = this.cipher === 'aesgcm' ? this.#openGcm(storageKey, data) : this.#openCbc(data);
    return joined(parts);
  }

  #sealGcm(storageKey: string, plain: Uint8Array): Uint8Array {
    const nonce = nextNonce();
    const cipher = createCipheriv(`aes-${this.#bits}-gcm` as 'aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(storageKey));
    const body = cipher.update(plain);
    cipher.final();
    return joined([this.#prefix, nonce, body, cipher.getAuthTag()]);
  }

  #openGcm(storageKey: string, data: Uint8Array): Uint8Array[] {
    const tagAt = data.length - TAG_BYTES;
    if (tagAt < NONCE_BYTES) throw new Error('it is too short');
    const decipher = createDecipheriv(
      `aes-${this.#bits}-gcm` as 'aes-256-gcm',
      this.#key,
      data.subarray(0, NONCE_BYTES),
      { authTagLength: TAG_BYTES },
    );
    decipher.setAAD(Buffer.from(storageKey));
    decipher.setAuthTag(data.subarray(tagAt));
    return [decipher.update(data.subarray(NONCE_BYTES, tagAt)), decipher.final()];
  }

  #sealCbc(plain: Uint8Array): Uint8Array {
    const iv = randomFillSync(new Uint8Array(IV_BYTES));
    const cipher = createCipheriv(`aes-${this.#bits}-cbc`, this.#key, iv);
    return joined([this.#prefix, iv, cipher.update(plain), cipher.final()]);
  }

  #openCbc(data: Uint8Array): Uint8Array[] {
    if (data.length < IV_BYTES) throw new Error('it is too short');
    const decipher = createDecipheriv(`aes-${this.#bits}-cbc`, this.#key, data.subarray(0, IV_BYTES));
    return [decipher.update(data.subarray(IV_BYTES)), decipher.final()];
  }
}

/** JSON never begins like this, so one look tells. */
export function isSealed(stored: Uint8Array): boolean {
  return startsWith(stored, MARK);
}

/** `aesgcm` and `key1` of `k8s:enc:aesgcm:v1:key1:...`; empty strings where the value ends before. */
export function sealedUnder(stored: Uint8Array): { readonly cipher: string; readonly keyName: string } {
  const [cipher = '', , keyName = ''] = fieldsAfterMark(stored);
  return { cipher, keyName };
}

function fieldsAfterMark(stored: Uint8Array): string[] {
  const fields: string[] = [];
  let from = MARK.length;
  while (fields.length < 3) {
    const end = stored.indexOf(COLON, from);
    if (end < 0) break;
    fields.push(Buffer.from(stored.subarray(from, end)).toString('utf8'));
    from = end + 1;
  }
  return fields;
}

function nextNonce(): Uint8Array {
  if (poolAt === pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  poolAt += NONCE_BYTES;
  return pool.slice(poolAt - NONCE_BYTES, poolAt);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[at] !== prefix[at]) return false;
  return true;
}

/** Buffer.concat draws small results from a shared pool, which stored values must not. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
