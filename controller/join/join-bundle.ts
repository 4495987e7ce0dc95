import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { isJsonObject } from '#api/object/json.ts';
import type { Component } from '../components/components.ts';
import type { SharedSettings } from './join-files.ts';

/** The keys of the cluster on their way to another machine. */
export interface JoinBundle {
  readonly components: readonly Component[];
  readonly settings: SharedSettings;
  /** Text by path in the data directory. */
  readonly files: Readonly<Record<string, string>>;
}

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** base64url of 32 random bytes: part of the token, never stored in the cluster. */
export const generateBundleKey = (): string => randomBytes(KEY_BYTES).toString('base64url');

/** Name of the Secret in kube-system that holds the bundle of a token, sealed. */
export const bundleSecretName = (tokenId: string): string => `coracle-join-${tokenId}`;

/** Nonce, ciphertext and tag; bound to the token, so that the content of one Secret is of no use in another. */
export function sealBundle(bundle: JoinBundle, key: string, tokenId: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, Buffer.from(key, 'base64url'), nonce).setAAD(Buffer.from(tokenId));
  const text = Buffer.concat([cipher.update(JSON.stringify(bundle)), cipher.final()]);
  return Buffer.concat([nonce, text, cipher.getAuthTag()]);
}

/** Undefined where the key or the token is another, or the bytes were changed. */
export function openBundle(sealed: Uint8Array, key: string, tokenId: string): JoinBundle | undefined {
  const bytes = Buffer.from(sealed);
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, Buffer.from(key, 'base64url'), bytes.subarray(0, NONCE_BYTES))
    .setAAD(Buffer.from(tokenId))
    .setAuthTag(bytes.subarray(-TAG_BYTES));
  let text: string;
  try {
    text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString();
  } catch {
    // GCM's only verdict: it is not what was sealed.
    return undefined;
  }
  const parsed: unknown = JSON.parse(text);
  return isJsonObject(parsed) ? (parsed as unknown as JoinBundle) : undefined;
}
