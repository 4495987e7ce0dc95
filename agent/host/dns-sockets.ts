import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, isIPv6, type Server, type Socket } from 'node:net';
import type {
  DnsExchangeOptions,
  DnsListener,
  DnsListenOptions,
  DnsPeer,
  DnsServerAddress,
  DnsSockets,
} from './host.ts';

/** Connections that say nothing are closed; resolvers open a new one when they need it. */
const TCP_IDLE_MS = 10_000;
const MAX_TCP_CONNECTIONS = 256;
const LENGTH_BYTES = 2;
/** Bursts of a busy node wait here rather than being lost (the kernel's default holds about 250 questions). */
const RECEIVE_BUFFER_BYTES = 1 << 20;

export const dnsSockets: DnsSockets = { listen, exchange };

async function listen(options: DnsListenOptions): Promise<DnsListener> {
  const udp = await listenUdp(options);
  try {
    const { port } = udp.address();
    const tcp = await listenTcp({ ...options, port });
    return {
      port,
      close: () =>
        new Promise((resolve) => {
          udp.close();
          tcp.close(() => resolve());
          for (const socket of tcp.sockets) socket.destroy();
        }),
    };
  } catch (err) {
    udp.close();
    throw err;
  }
}

function listenUdp({ address, port, handle }: DnsListenOptions): Promise<UdpSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
    const onMessage = async (message: Buffer, peer: RemoteInfo) => {
      const response = await handle(message, { address: peer.address, transport: 'udp' }).catch(() => undefined);
      if (response === undefined) return;
      try {
        // Errors (the client has gone, say) come to this callback: there is nobody to tell.
        socket.send(response, peer.port, peer.address, () => {});
      } catch {
        // The socket was closed meanwhile.
      }
    };
    socket.on('message', (message, peer) => void onMessage(message, peer));
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject);
      socket.on('error', () => {});
      try {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      } catch {
        // A limit of the host; the default serves.
      }
      resolve(socket);
    });
  });
}

interface TcpListener {
  readonly sockets: ReadonlySet<Socket>;
  close(onClosed: () => void): void;
}

function listenTcp({ address, port, handle }: DnsListenOptions): Promise<TcpListener> {
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      if (sockets.size >= MAX_TCP_CONNECTIONS) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      const peer: DnsPeer = { address: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''), transport: 'tcp' };
      onMessages(socket, (message) => {
        handle(message, peer).then(
          (response) => (response === undefined ? socket.destroy() : socket.write(framed(response))),
          () => socket.destroy(),
        );
      });
    });
    server.once('error', reject);
    server.listen({ host: address, port, exclusive: true }, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve({ sockets, close: (onClosed) => server.close(onClosed) });
    });
  });
}

/** Two bytes of length before each message, in both directions. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  frame.writeUInt16BE(message.length);
  frame.set(message, LENGTH_BYTES);
  return frame;
}

function onMessages(socket: Socket, onMessage: (message: Uint8Array) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + pending.readUInt16BE();
      if (pending.length < end) return;
      onMessage(pending.subarray(LENGTH_BYTES, end));
      pending = pending.subarray(end);
    }
  });
}

function exchange(server: DnsServerAddress, message: Uint8Array, options: DnsExchangeOptions): Promise<Uint8Array> {
  return server.transport === 'udp' ? exchangeUdp(server, message, options) : exchangeTcp(server, message, options);
}

function exchangeUdp(
  { address, port }: DnsServerAddress,
  message: Uint8Array,
  { timeoutMs, accept }: DnsExchangeOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let isOpen = true;
    const finish = (err: Error | undefined, answer?: Uint8Array) => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      socket.close();
      if (answer === undefined) reject(err);
      else resolve(answer);
    };
    const timer = setTimeout(() => finish(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.on('error', (err) => finish(err));
    // What is no answer to this question is somebody's guess: the right one may still come.
    socket.on('message', (answer) => accept(answer) && finish(undefined, answer));
    // Connected: the kernel drops what comes from elsewhere and tells at once when nobody listens.
    const onConnected = (err?: Error) => {
      if (err !== undefined) finish(err);
      else if (isOpen) socket.send(message);
    };
    socket.connect(port, address, onConnected);
  });
}

function exchangeTcp(
  { address, port }: DnsServerAddress,
  message: Uint8Array,
  { timeoutMs, accept }: DnsExchangeOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const finish = (err: Error | undefined, answer?: Uint8Array) => {
      clearTimeout(timer);
      socket.destroy();
      if (answer === undefined) reject(err);
      else resolve(answer);
    };
    const timer = setTimeout(() => finish(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.on('error', (err) => finish(err));
    socket.on('end', () => finish(new Error('the connection ended without an answer')));
    onMessages(socket, (answer) => accept(answer) && finish(undefined, answer));
    socket.write(framed(message));
  });
}
