import type { WebSocket } from 'ws';
import { internalError, type Status } from '#api/object/api-error.ts';
import type { BackendUpgrade } from './backend-http.ts';
import { SpdyConnection } from './spdy-client.ts';

/** Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each message. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
/** v5 only: the second byte names the channel that the client closes. */
const CLOSE = 255;

/** A client that lags further behind than this makes us stop reading from the node. */
const MAX_PENDING_BYTES = 1024 * 1024;

export interface ExecStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/**
 * Joins a client's WebSocket with the runtime's SPDY streams. SPDY at the far end because it alone can close stdin there: runtimes refuse
 * WebSocket v5, and v4 has no such message. The error stream carries the Status with the exit code, passed on as it is.
 */
export function bridgeExec(client: WebSocket, { socket, head }: BackendUpgrade, streams: ExecStreams): void {
  const channels = new Map<number, number>();
  let hasStatus = false;
  const backend = new SpdyConnection(socket, head, {
    onData(stream, bytes) {
      const channel = channels.get(stream);
      if (channel === undefined) return;
      hasStatus ||= channel === ERROR;
      sendToClient(client, backend, channel, bytes);
    },
    onEnd() {},
    onClose() {
      if (!hasStatus) sendStatus(client, internalError(new Error('connection to the container was lost')).toStatus());
      client.close(1000);
    },
  });
  const open = (streamtype: string, channel: number) => {
    const stream = backend.openStream({ streamtype });
    channels.set(stream, channel);
    return stream;
  };
  // The runtime waits for all streams that the request asked for; the error stream comes first.
  open('error', ERROR);
  const stdin = streams.stdin ? open('stdin', STDIN) : undefined;
  if (streams.stdout) open('stdout', STDOUT);
  if (streams.stderr && !streams.tty) open('stderr', STDERR);
  const resize = streams.tty ? open('resize', RESIZE) : undefined;
  let isStdinOpen = stdin !== undefined;

  client.on('message', (data: Buffer) => {
    const channel = data[0];
    if (channel === STDIN && isStdinOpen) {
      if (!backend.send(stdin!, data.subarray(1))) holdUntilDrained(client, backend);
    } else if (channel === RESIZE && resize !== undefined) {
      backend.send(resize, Buffer.concat([data.subarray(1), Buffer.from('\n')]));
    } else if (channel === CLOSE && data[1] === STDIN && isStdinOpen) {
      isStdinOpen = false;
      backend.endStream(stdin!);
    }
  });
  client.on('error', () => client.terminate());
  client.on('close', () => backend.close());
}

function holdUntilDrained(client: WebSocket, backend: SpdyConnection): void {
  client.pause();
  void backend.drained().then(() => client.resume());
}

function sendToClient(client: WebSocket, backend: SpdyConnection, channel: number, bytes: Uint8Array): void {
  const message = Buffer.allocUnsafeSlow(bytes.length + 1);
  message[0] = channel;
  message.set(bytes, 1);
  const resumeWhenSent = () => {
    if (client.bufferedAmount <= MAX_PENDING_BYTES) backend.resume();
  };
  client.send(message, resumeWhenSent);
  if (client.bufferedAmount > MAX_PENDING_BYTES) backend.pause();
}

/** The last word of a session, on the error channel. */
export function sendStatus(client: WebSocket, status: Status): void {
  client.send(Buffer.concat([Buffer.from([ERROR]), Buffer.from(JSON.stringify(status))]));
}
