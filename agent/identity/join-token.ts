const TOKEN = /^([a-z0-9]{6}\.[a-z0-9]{16})(?:@(sha256:[0-9a-f]{64}))?$/;

export interface JoinToken {
  /** Bootstrap token, `<id>.<secret>`. */
  readonly token: string;
  /** Pin of the cluster's CA: `sha256:<hex>` over its SPKI. */
  readonly caHash: string | undefined;
}

/** Parts of what `coracle token create` printed; undefined when the text is no token. */
export function parseJoinToken(text: string): JoinToken | undefined {
  const match = TOKEN.exec(text.trim());
  return match === null ? undefined : { token: match[1]!, caHash: match[2] };
}
