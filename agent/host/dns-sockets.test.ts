import { expect, it } from 'vitest';
import { dnsSockets } from './dns-sockets.ts';

it.each(['udp', 'tcp'] as const)('a server that there is no way to gives no answer, by %s', async (transport) => {
  // The kernel refuses to send there, as it does where a host has no route.
  const server = { address: '255.255.255.255', port: 53, transport };
  const asking = dnsSockets.exchange(server, new Uint8Array(12), { timeoutMs: 60_000, accept: () => true });
  await expect(asking).rejects.toThrow(/^connect E/);
});
