import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EnvelopeKey, isSealed, sealedUnder } from './envelope.ts';

const KEY = '/registry/secrets/default/sample';
const PLAIN = new TextEncoder().encode('{"kind":"Secret","data":{"a":"Yg=="}}');
const secret = Uint8Array.from({ length: 32 }, (_, i) => i);

const gcm = new EnvelopeKey({ cipher: 'aesgcm', name: 'key1', secret });
const cbc = new EnvelopeKey({ cipher: 'aescbc', name: 'key1', secret });

/** Made by the Python package "cryptography" as kube-apiserver lays it out: prefix, nonce, ciphertext and tag; the storage key as AAD. */
const KNOWN = Buffer.from(
  'azhzOmVuYzphZXNnY206djE6a2V5MTpkZWZnaGlqa2xtbm8zObUPF410pBwxOouoAB7fbuBia/8N0Ujc881qwYH8L6nUYr0xDtETASMA/vPD9MCxt/Qbvg==',
  'base64',
);

describe('EnvelopeKey', () => {
  it('opens what another implementation sealed', () => {
    expect(gcm.open(KEY, KNOWN)).toEqual(PLAIN);
  });

  it.each([
    ['aesgcm', gcm],
    ['aescbc', cbc],
    ['aesgcm of 128 bits', new EnvelopeKey({ cipher: 'aesgcm', name: 'short', secret: secret.slice(0, 16) })],
  ])('opens what it sealed, in memory of its own: %s', (_, key) => {
    for (const length of [0, 1, 15, 16, 17, 100_000]) {
      const plain = new Uint8Array(length).fill(7);
      const sealed = key.seal(KEY, plain);
      expect([isSealed(sealed), key.matches(sealed)]).toEqual([true, true]);
      const opened = key.open(KEY, sealed);
      expect(Buffer.compare(opened, plain)).toBe(0);
      expect(opened.buffer.byteLength).toBe(length);
    }
  });

  it('lays aesgcm out as Kubernetes does: prefix, 12 bytes of nonce, ciphertext, 16 bytes of tag', () => {
    const sealed = Buffer.from(gcm.seal(KEY, PLAIN));
    const prefix = 'k8s:enc:aesgcm:v1:key1:';
    expect(sealed.subarray(0, prefix.length).toString()).toBe(prefix);
    const nonce = sealed.subarray(prefix.length, prefix.length + 12);
    const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(Buffer.from(KEY));
    const expected = Buffer.concat([nonce, cipher.update(PLAIN), cipher.final(), cipher.getAuthTag()]);
    expect(sealed.subarray(prefix.length)).toEqual(expected);
  });

  it('never takes a nonce twice', () => {
    const nonces = new Set(
      Array.from({ length: 2000 }, () => Buffer.from(gcm.seal(KEY, PLAIN)).toString('latin1', 23, 35)),
    );
    expect(nonces.size).toBe(2000);
  });

  it.each<[string, (sealed: Uint8Array) => [string, Uint8Array]]>([
    ['moved to another storage key', (sealed) => ['/registry/secrets/default/other', sealed]],
    ['one bit of the nonce', (sealed) => [KEY, flipped(sealed, 25)]],
    ['one bit of the ciphertext', (sealed) => [KEY, flipped(sealed, 40)]],
    ['one bit of the tag', (sealed) => [KEY, flipped(sealed, sealed.length - 1)]],
    ['cut off', (sealed) => [KEY, sealed.slice(0, -1)]],
    ['cut off within the nonce', (sealed) => [KEY, sealed.slice(0, 30)]],
  ])('refuses a value that is not as it was written: %s', (_, change) => {
    expect(() => gcm.open(...change(gcm.seal(KEY, PLAIN)))).toThrow();
  });
});

describe('sealedUnder', () => {
  it.each([
    ['k8s:enc:aesgcm:v1:key1:xx', 'aesgcm', 'key1'],
    ['k8s:enc:kms:v2:plugin:xx', 'kms', 'plugin'],
    ['k8s:enc:aesgcm', '', ''],
    ['k8s:enc:', '', ''],
  ])('%s', (text, cipher, keyName) => {
    expect(sealedUnder(new TextEncoder().encode(text))).toEqual({ cipher, keyName });
  });
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 1;
  return copy;
}
