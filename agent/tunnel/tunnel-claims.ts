/** Which API servers this node has a tunnel to: one that is reached at two addresses (its own and a shared one) gets one tunnel. */
export class TunnelClaims {
  readonly #held = new Map<string, Promise<void>>();

  /** A function that gives the claim back; or, where another tunnel leads to that server, what resolves when it has ended. */
  claim(serverId: string): { readonly release: () => void } | { readonly taken: Promise<void> } {
    const taken = this.#held.get(serverId);
    if (taken !== undefined) return { taken };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(serverId, promise);
    return {
      release: () => {
        this.#held.delete(serverId);
        resolve();
      },
    };
  }
}
