import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { decodeFrame, encodeFrame, TUNNEL_PROTOCOL } from '#api/tunnel/frames.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { TunnelHub } from './tunnel-hub.ts';

const PATIENCE = { timeout: 30_000, interval: 5 };
const LONG = 'n'.repeat(200);
const LARGEST = 65_535;
const ROOM = 256 * 1024;

let hub: TunnelHub;
let server: ReturnType<typeof createServer>;
let clients: WebSocket[];
/** The server's ends, by node. */
let ends: Map<string, Duplex>;

beforeEach(async () => {
  hub = new TunnelHub({ clock: new FakeClock(), log: silentLogger, serverId: 's' });
  clients = [];
  ends = new Map();
  server = createServer();
  server.on('upgrade', (incoming, socket, head) => {
    const node = incoming.url!.slice(1);
    ends.set(node, socket);
    hub.accept(node, { incoming, socket, head });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const client of clients) client.terminate();
  for (const end of ends.values()) end.destroy();
  hub.close();
  await new Promise((resolve) => server.close(resolve));
});

/** A node, and the sizes of the datagrams that it gets. */
async function connect(node: string) {
  const { port } = server.address() as AddressInfo;
  const client = new WebSocket(`ws://127.0.0.1:${port}/${node}`, TUNNEL_PROTOCOL, { maxPayload: 1024 * 1024 });
  clients.push(client);
  const sizes: number[] = [];
  client.on('message', (data: Buffer) => {
    const frame = decodeFrame(data);
    if (frame?.type === 'packet') sizes.push(frame.bytes.length);
  });
  client.on('error', () => {});
  await new Promise((resolve) => client.once('open', resolve));
  const send = (to: string, size: number) =>
    client.send(encodeFrame({ type: 'packet', stream: 0, node: to, bytes: new Uint8Array(size) }));
  /** Once the server has taken in all that was sent before. */
  const settled = async (witness: { readonly name: string; readonly sizes: readonly number[] }) => {
    const before = witness.sizes.length;
    send(witness.name, 1);
    await vi.waitFor(() => expect(witness.sizes.length).toBeGreaterThan(before), PATIENCE);
  };
  return { name: node, client, sizes, send, settled };
}

it('drops what would be too large for the node that it goes to', async () => {
  const sender = await connect(LONG);
  const target = await connect('b');
  sender.send('b', 1024 * 1024 - 10);
  sender.send('b', LARGEST);
  await vi.waitFor(() => expect(target.sizes).toEqual([LARGEST]), PATIENCE);
  expect(target.client.readyState).toBe(WebSocket.OPEN);
});

it('tells a sender that does not read only so often that a node is not here', async () => {
  const sender = await connect('a');
  const witness = await connect('w');
  ends.get('a')!.cork();
  for (let i = 0; i < 4_000; i++) sender.send(LONG, 1);
  await sender.settled(witness);
  const waiting = ends.get('a')!.writableLength;
  expect(waiting).toBeGreaterThan(ROOM / 2);
  expect(waiting).toBeLessThan(ROOM + 1_000);
});

it('lets what keeps the relay going pass where traffic is dropped', async () => {
  const [sender, target, witness] = [await connect('a'), await connect('b'), await connect('w')];
  ends.get('b')!.cork();
  for (let i = 0; i < 8; i++) sender.send('b', LARGEST);
  sender.send('b', 2);
  await sender.settled(witness);
  ends.get('b')!.uncork();
  await vi.waitFor(() => expect(target.sizes.length).toBeGreaterThanOrEqual(5), PATIENCE);
  expect(target.sizes.at(-1)).toBe(2);
  expect(target.sizes.length).toBeLessThan(9);
});
