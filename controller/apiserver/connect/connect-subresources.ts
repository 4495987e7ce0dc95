import type { TunnelHub } from '../../tunnel/tunnel-hub.ts';
import type { SubresourceDefinition } from '../registry/resource-definition.ts';
import type { ConnectOptions } from './connect-options.ts';
import { nodeTunnel } from './node-tunnel.ts';
import { podStreams } from './pod-exec.ts';
import { podLog } from './pod-log.ts';
import { podPortForward } from './pod-port-forward.ts';
import { nodeProxy, podProxy, serviceProxy } from './proxy.ts';

export interface ConnectSubresources {
  readonly pods: readonly SubresourceDefinition[];
  readonly nodes: readonly SubresourceDefinition[];
  readonly services: readonly SubresourceDefinition[];
}

/** Everything that needs a way to a node, for the resource definitions of pods, nodes and services. */
export function connectSubresources(
  options: ConnectOptions,
  hub: Pick<TunnelHub, 'accept' | 'twinProblem'>,
): ConnectSubresources {
  return {
    pods: [
      podLog(options),
      podStreams('exec', options),
      podStreams('attach', options),
      podPortForward(options),
      podProxy(),
    ],
    nodes: [nodeProxy(options), nodeTunnel(hub)],
    services: [serviceProxy()],
  };
}
