import { describe, expect, it } from 'vitest';
import { type PacketLink, PacketLinks } from './packet-links.ts';

const NOTHING = new Uint8Array();

/** An API server and the nodes with a tunnel to it, which answers as `TunnelHub` does. */
function server() {
  const nodes = new Map<string, { readonly links: PacketLinks; readonly link: PacketLink }>();
  return {
    connect(name: string, links: PacketLinks) {
      const link: PacketLink = {
        send(to, bytes) {
          const other = nodes.get(to);
          if (other === undefined) links.receive(link, to, NOTHING);
          else other.links.receive(other.link, name, bytes);
        },
      };
      nodes.set(name, { links, link });
      links.add(link);
      return () => {
        nodes.delete(name);
        links.remove(link);
      };
    },
  };
}

function node() {
  const links = new PacketLinks();
  const heard: string[] = [];
  links.onPacket((from, bytes) => heard.push(`${from} ${bytes[0]}`));
  return { links, heard };
}

describe('datagrams between nodes', () => {
  it('find the one API server of three that both nodes have a tunnel to, and lose one datagram for each that is none', () => {
    const [first, second, third] = [server(), server(), server()];
    const [a, b] = [node(), node()];
    for (const each of [first, second, third]) each.connect('a', a.links);
    third.connect('b', b.links);
    for (const byte of [1, 2, 3, 4]) a.links.send('b', new Uint8Array([byte]));
    expect(b.heard).toEqual(['a 3', 'a 4']);
    b.links.send('a', new Uint8Array([5]));
    expect(a.heard).toEqual(['b 5']);
  });

  it('go another way when that server stops, for either of the nodes', () => {
    const [first, second] = [server(), server()];
    const [a, b] = [node(), node()];
    const stops = [first.connect('a', a.links), first.connect('b', b.links)];
    second.connect('a', a.links);
    second.connect('b', b.links);
    a.links.send('b', new Uint8Array([1]));
    // The other node's tunnel breaks first: the server says that it is not there.
    stops[1]!();
    for (const byte of [2, 3]) a.links.send('b', new Uint8Array([byte]));
    stops[0]!();
    a.links.send('b', new Uint8Array([4]));
    expect(b.heard).toEqual(['a 1', 'a 3', 'a 4']);
  });

  it('are lost, and nothing else, where no server has both', () => {
    const [first, second] = [server(), server()];
    const [a, b] = [node(), node()];
    first.connect('a', a.links);
    second.connect('b', b.links);
    for (const byte of [1, 2]) a.links.send('b', new Uint8Array([byte]));
    expect(b.heard).toEqual([]);
    const leave = first.connect('b', b.links);
    a.links.send('b', new Uint8Array([3]));
    expect(b.heard).toEqual(['a 3']);
    leave();
  });
});
