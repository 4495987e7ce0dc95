import { expect, it } from 'vitest';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { isWireguardKey } from './node-key.ts';
import { openOwnKey } from './own-key.ts';

const PATH = '/var/lib/coracle/agent/network/wireguard.key';

it('is made once, and read by root alone', async () => {
  const fs = new FakeFileSystem();
  const made = await openOwnKey(fs, PATH);
  expect(isWireguardKey(made.privateKey) && isWireguardKey(made.publicKey)).toBe(true);
  expect((await fs.info(PATH))?.mode).toBe(0o600);
  expect(await openOwnKey(fs, PATH)).toEqual(made);
});

it('is replaced where the file holds none', async () => {
  const fs = await withFile('\0\0\0');
  const { privateKey } = await openOwnKey(fs, PATH);
  expect((await fs.readText(PATH)).trim()).toBe(privateKey);
});

it('has the public key that wg computes', async () => {
  const privateKey = Buffer.alloc(32, 1).toString('base64');
  expect(await openOwnKey(await withFile(privateKey), PATH)).toEqual({
    privateKey,
    publicKey: 'pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=',
  });
});

async function withFile(content: string): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  await fs.makeDirectory('/var/lib/coracle/agent/network');
  await fs.writeAtomic(PATH, content);
  return fs;
}
