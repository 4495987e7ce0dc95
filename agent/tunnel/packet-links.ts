/** One tunnel that is up. */
export interface PacketLink {
  /** The datagram may be lost. */
  send(node: string, bytes: Uint8Array): void;
}

type Listener = (from: string, bytes: Uint8Array) => void;

/** Datagrams to other nodes, over whichever tunnel of this node leads to an API server that the other one has a tunnel to as well. */
export class PacketLinks {
  readonly #links: PacketLink[] = [];
  readonly #chosen = new Map<string, PacketLink>();
  #listener: Listener = () => {};

  onPacket(listener: Listener): void {
    this.#listener = listener;
  }

  /** Without any tunnel, it is lost. */
  send(node: string, bytes: Uint8Array): void {
    (this.#chosen.get(node) ?? this.#links[0])?.send(node, bytes);
  }

  add(link: PacketLink): void {
    this.#links.push(link);
  }

  remove(link: PacketLink): void {
    const at = this.#links.indexOf(link);
    if (at >= 0) this.#links.splice(at, 1);
    for (const [node, chosen] of this.#chosen) if (chosen === link) this.#chosen.delete(node);
  }

  /** Something came over a tunnel. Nothing at all means that the node has none to that server: the next one is tried. */
  receive(link: PacketLink, node: string, bytes: Uint8Array): void {
    if (bytes.length > 0) {
      this.#listener(node, bytes);
      return;
    }
    const next = this.#links[(this.#links.indexOf(link) + 1) % this.#links.length];
    if (next !== undefined) this.#chosen.set(node, next);
  }
}
