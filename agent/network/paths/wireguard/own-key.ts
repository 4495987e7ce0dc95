import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { FileSystem } from '../../../host/host.ts';
import { isWireguardKey } from './node-key.ts';

/** Both as `wg` takes them: 32 bytes in base64. */
export interface WireguardKeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/**
 * The key of this node, made where there is none. It outlives restarts, so that a node that starts while the API is away can talk to the
 * others; a file that is no key (a power cut of long ago, a disk that lies) is replaced.
 */
export async function openOwnKey(fs: FileSystem, path: string): Promise<WireguardKeyPair> {
  const text = await fs.readText(path).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return '';
    throw err;
  });
  const kept = text.trim();
  if (isWireguardKey(kept)) return { privateKey: kept, publicKey: publicKeyOf(kept) };
  const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  const privateKey = Buffer.from(d, 'base64url').toString('base64');
  await fs.makeDirectory(path.slice(0, path.lastIndexOf('/')), 0o700);
  await fs.writeAtomic(path, `${privateKey}\n`, { mode: 0o600, durable: true });
  return { privateKey, publicKey: publicKeyOf(privateKey) };
}

/** PKCS #8 around the bytes of an X25519 key (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');

function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([PKCS8_HEAD, Buffer.from(privateKey, 'base64')]);
  const { x = '' } = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).export({
    format: 'jwk',
  });
  return Buffer.from(x, 'base64url').toString('base64');
}
