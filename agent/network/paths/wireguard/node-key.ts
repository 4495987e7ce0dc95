import type { Node } from '#api/object/kinds.ts';

/** Where a node tells its public key; NodeRestriction lets only the node itself (and administrators) write it. */
export const WIREGUARD_KEY_ANNOTATION = 'coracle.dev/wireguard-public-key';

const KEY_BYTES = 32;

/** undefined: the node tells none, so it takes no encrypted packets. What is no key counts as none. */
export function wireguardKeyOf({ metadata }: Node): string | undefined {
  const key = metadata.annotations?.[WIREGUARD_KEY_ANNOTATION];
  return key !== undefined && isWireguardKey(key) ? key : undefined;
}

/**
 * By key: the node whose it is. One that tells the key of another (a copied disk, or worse) has none: its ranges would be taken from the
 * other's peer. The Node that was there first has it, which whoever comes later cannot change.
 */
export function keyOwners(nodes: readonly Node[]): ReadonlyMap<string, string> {
  const owners = new Map<string, Node>();
  for (const node of nodes) {
    const key = wireguardKeyOf(node);
    const owner = key === undefined ? undefined : owners.get(key);
    if (key !== undefined && (owner === undefined || isBefore(node, owner))) owners.set(key, node);
  }
  return new Map([...owners].map(([key, { metadata }]) => [key, metadata.name]));
}

function isBefore({ metadata: a }: Node, { metadata: b }: Node): boolean {
  const [first = '', second = ''] = [a.creationTimestamp, b.creationTimestamp];
  return first === second ? a.name < b.name : first < second;
}

/** 32 bytes in base64, spelled as `wg` spells them. */
export function isWireguardKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === KEY_BYTES && bytes.toString('base64') === text;
}
