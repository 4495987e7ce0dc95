import type { Clock } from '#base/clock.ts';

/** The part of a WebSocket that this needs. */
export interface PingablePeer {
  ping(): void;
  terminate(): void;
  on(event: 'pong', listener: () => void): unknown;
}

/** NAT tables forget silent connections after one to five minutes; a peer that vanished is noticed after two periods. */
const PING_INTERVAL_MS = 20_000;

/** Both ends do this, whoever notices first: the connection is dropped when a ping is unanswered until the next is due. Returns stop. */
export function pingPeer(socket: PingablePeer, clock: Clock): () => void {
  let isAnswered = true;
  let cancel = () => {};
  const tick = () => {
    if (!isAnswered) {
      socket.terminate();
      return;
    }
    isAnswered = false;
    socket.ping();
    cancel = clock.after(PING_INTERVAL_MS, tick);
  };
  socket.on('pong', () => {
    isAnswered = true;
  });
  cancel = clock.after(PING_INTERVAL_MS, tick);
  return () => cancel();
}
