import type { Duplex } from 'node:stream';

export type DialTarget =
  | { readonly kind: 'node'; readonly name: string; readonly port: number }
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string; readonly port: number }
  /** One ready endpoint of the Service port (by number or name). */
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string; readonly port: number | string };

/**
 * How the API server reaches nodes, pods and Services (exec, logs, proxies, webhooks): over the agent's outbound tunnel, or directly
 * where no tunnel is up. The answer is a raw byte stream; whoever needs TLS to a kubelet puts it on top.
 */
export interface ClusterDialer {
  /** Rejects with ApiError 503/404 naming the node when it cannot be reached. */
  dial(target: DialTarget, signal?: AbortSignal): Promise<Duplex>;
}
