import type { TunnelTarget } from '#api/tunnel/frames.ts';

export interface AllowedTargetsOptions {
  /** Port of this node's own API; reached at the host itself. */
  readonly nodeApiPort: number;
  /** Ports that pods of this node on the host's network declare. */
  readonly hostPorts?: () => ReadonlySet<number>;
  /** Addresses of the pods that run on this node now, in the pod network. */
  readonly podAddresses: () => ReadonlySet<string>;
  /** Cluster addresses of Services that the proxy of this node knows, if Services may be reached through it. */
  readonly isServiceAddress?: (host: string, port: number) => boolean;
}

/**
 * Where the tunnel may lead: to this node's API, to pods of this node, to Services. Everything else (the host's other ports, its LAN, the
 * cloud's metadata address) is out of reach even for a controller that was taken over. Returns the address to dial or undefined.
 */
export function resolveTunnelTarget(target: TunnelTarget, options: AllowedTargetsOptions): TunnelTarget | undefined {
  const { host, port } = target;
  if (port < 1 || port > 65535) return undefined;
  if (host === '') {
    const isOpen = port === options.nodeApiPort || options.hostPorts?.().has(port) === true;
    return isOpen ? { host: '127.0.0.1', port } : undefined;
  }
  if (options.podAddresses().has(host)) return target;
  return options.isServiceAddress?.(host, port) === true ? target : undefined;
}
