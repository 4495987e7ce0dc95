const TOKEN = /^([a-z0-9]{6}\.[a-z0-9]{16})(?:@(sha256:[0-9a-f]{64}))?(?:\+([A-Za-z0-9_-]{43}))?$/;

export interface JoinToken {
  /** Bootstrap token, `<id>.<secret>`. */
  readonly token: string;
  /** Pin of the cluster's CA: `sha256:<hex>` over its SPKI. */
  readonly caHash: string | undefined;
  /** base64url of 32 bytes, in tokens of controllers: opens the keys that wait for them. */
  readonly bundleKey: string | undefined;
}

/** Parts of what `coracle token create` printed; undefined when the text is no token. */
export function parseJoinToken(text: string): JoinToken | undefined {
  const match = TOKEN.exec(text.trim());
  return match === null ? undefined : { token: match[1]!, caHash: match[2], bundleKey: match[3] };
}

/** What a host is given to join: the token, the CA that it must find, and for controllers what opens their keys. */
export function renderJoinToken(token: string, caHash: string, bundleKey?: string): string {
  return `${token}@${caHash}${bundleKey === undefined ? '' : `+${bundleKey}`}`;
}
