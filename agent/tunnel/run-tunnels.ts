import { TunnelClaims } from './tunnel-claims.ts';
import { runTunnelClient, type TunnelClientOptions } from './tunnel-client.ts';

export interface TunnelsOptions extends Omit<TunnelClientOptions, 'server' | 'claims'> {
  readonly servers: {
    readonly all: readonly string[];
    onChange(listener: (servers: readonly string[]) => void): () => void;
  };
  /** The address of this host changed: connections that went out from it are dead, and would be noticed only when pings stay unanswered. */
  readonly onMoved?: (listener: () => void) => void;
}

/** A tunnel to every API server, so that each of them reaches this node by itself; follows the list until aborted. */
export async function runTunnels(options: TunnelsOptions, signal: AbortSignal): Promise<void> {
  const { servers, onMoved, ...shared } = options;
  const claims = new TunnelClaims();
  const running = new Map<string, AbortController>();
  const ended = new Set<Promise<void>>();
  const sync = (wanted: readonly string[]) => {
    for (const [server, stop] of running) {
      if (wanted.includes(server)) continue;
      running.delete(server);
      stop.abort();
    }
    for (const server of wanted) {
      if (running.has(server) || signal.aborted) continue;
      const stop = new AbortController();
      running.set(server, stop);
      const done = runTunnelClient({ ...shared, server, claims }, AbortSignal.any([signal, stop.signal]));
      ended.add(done);
      void done.finally(() => ended.delete(done));
    }
  };
  sync(servers.all);
  const unfollow = servers.onChange(sync);
  onMoved?.(() => {
    sync([]);
    sync(servers.all);
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  unfollow();
  await Promise.all(ended);
}
