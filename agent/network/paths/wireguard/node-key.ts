import type { Node } from '#api/object/kinds.ts';

/** Where a node tells its public key; NodeRestriction lets only the node itself (and administrators) write it. */
export const WIREGUARD_KEY_ANNOTATION = 'coracle.dev/wireguard-public-key';

const KEY_BYTES = 32;

/** undefined: the node tells none, so it takes no encrypted packets. What is no key counts as none. */
export function wireguardKeyOf({ metadata }: Node): string | undefined {
  const key = metadata.annotations?.[WIREGUARD_KEY_ANNOTATION];
  return key !== undefined && isWireguardKey(key) ? key : undefined;
}

/** 32 bytes in base64, spelled as `wg` spells them. */
export function isWireguardKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === KEY_BYTES && bytes.toString('base64') === text;
}
