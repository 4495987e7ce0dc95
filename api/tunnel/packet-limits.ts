/** Datagrams between nodes give way to streams: beyond this they are lost, and whoever sends too fast slows down. */
const MAX_WAITING_BYTES = 256 * 1024;
/** What agents tell each other to keep the relay going passes where its own traffic fills the line; so small that it cannot fill it. */
const SMALL_BYTES = 16;
const MAX_WAITING_SMALL_BYTES = 1024 * 1024;
/** No datagram is larger. Far below what a tunnel takes as one message, so that the name of its node always fits beside it. */
const MAX_PACKET_BYTES = 65_535;

/** Whether a datagram goes on, over a connection where so many bytes wait. One without bytes (no such node here) is its sender's own fault. */
export function isPacketSent(bytes: Uint8Array, waitingBytes: number): boolean {
  if (bytes.length > MAX_PACKET_BYTES) return false;
  const isSmall = bytes.length > 0 && bytes.length <= SMALL_BYTES;
  return waitingBytes < (isSmall ? MAX_WAITING_SMALL_BYTES : MAX_WAITING_BYTES);
}
