import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { ApiError, badRequest, notFound } from '#api/object/api-error.ts';
import { describeError } from '#base/errors.ts';
import type { ClusterDialer, DialTarget } from './dialer.ts';
import type { TunnelHub } from './tunnel-hub.ts';

export interface NodeLocation {
  /** Reachable addresses in the order of preference (InternalIP first). */
  readonly addresses: readonly string[];
  /** Port of its node API (status.daemonEndpoints). */
  readonly apiPort: number;
}

export interface PodLocation {
  readonly nodeName: string;
  /** undefined while it has none. */
  readonly ip: string | undefined;
  readonly hostNetwork: boolean;
}

export interface EndpointLocation {
  readonly ip: string;
  readonly port: number;
  /** undefined for endpoints outside the cluster. */
  readonly nodeName: string | undefined;
}

/** What the dialer has to know of the cluster; read from the API server's own state. */
export interface ClusterLookups {
  node(name: string): NodeLocation | undefined;
  pod(namespace: string, name: string): PodLocation | undefined;
  /** Ready endpoints of the Service port (by number or name); undefined when the Service or the port does not exist. */
  endpoints(namespace: string, service: string, port: number | string): readonly EndpointLocation[] | undefined;
}

/** Connects from the API server's own host; rejects with Node's errors. */
export type DirectDial = (host: string, port: number, signal?: AbortSignal) => Promise<Duplex>;

export interface ClusterDialerOptions {
  readonly hub: Pick<TunnelHub, 'isConnected' | 'open'>;
  readonly lookups: ClusterLookups;
  readonly directDial: DirectDial;
  readonly random?: () => number;
}

/** Where to connect, and through which node's tunnel if it has one. */
interface Route {
  readonly nodeName: string | undefined;
  /** Address as the agent at the far end of the tunnel dials it; '' = its own host. */
  readonly tunnelHost: string;
  readonly directHosts: readonly string[];
  readonly port: number;
}

/**
 * Never a pod's: whoever writes a pod's status must not lead the API server to its own loopback or to a cloud's metadata. The rule is
 * Kubernetes' own for proxied pods; behind a tunnel the agent knows better which addresses are its pods'.
 */
const notPodAddresses = new BlockList();
notPodAddresses.addAddress('0.0.0.0');
notPodAddresses.addSubnet('127.0.0.0', 8);
notPodAddresses.addSubnet('169.254.0.0', 16);
notPodAddresses.addSubnet('224.0.0.0', 4);
notPodAddresses.addAddress('255.255.255.255');
notPodAddresses.addSubnet('::', 127, 'ipv6');
notPodAddresses.addSubnet('fe80::', 10, 'ipv6');
notPodAddresses.addSubnet('ff00::', 8, 'ipv6');

/** Nodes, pods and Services over the tunnel of the node that they are on, directly where that node has none here. */
export function createClusterDialer(options: ClusterDialerOptions): ClusterDialer {
  const { hub, directDial } = options;
  return {
    async dial(target, signal) {
      const route = computeRoute(target, options);
      const { nodeName, tunnelHost, directHosts, port } = route;
      try {
        if (nodeName !== undefined && hub.isConnected(nodeName))
          return await hub.open(nodeName, { host: tunnelHost, port }, signal);
        if (target.kind !== 'node') checkPodAddresses(directHosts);
        return await dialFirst(directDial, directHosts, port, signal);
      } catch (err) {
        signal?.throwIfAborted();
        if (err instanceof ApiError) throw err;
        throw unreachable(target, nodeName, err);
      }
    },
  };
}

function checkPodAddresses(addresses: readonly string[]): void {
  // An IPv4 address in IPv6 clothes is matched by the IPv4 rules.
  const refused = addresses.find(
    (address) => isIP(address) === 0 || notPodAddresses.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'),
  );
  if (refused !== undefined) throw badRequest(`address not allowed: ${refused}`);
}

async function dialFirst(
  dial: DirectDial,
  hosts: readonly string[],
  port: number,
  signal?: AbortSignal,
): Promise<Duplex> {
  let failure: unknown = new Error('it has no tunnel and no address');
  for (const host of hosts) {
    try {
      return await dial(host, port, signal);
    } catch (err) {
      signal?.throwIfAborted();
      failure = err;
    }
  }
  throw failure;
}

function computeRoute(target: DialTarget, { lookups, random = Math.random }: ClusterDialerOptions): Route {
  switch (target.kind) {
    case 'node': {
      const node = lookups.node(target.name);
      if (node === undefined) throw notFound({ group: '', resource: 'nodes' }, target.name);
      return { nodeName: target.name, tunnelHost: '', directHosts: node.addresses, port: target.port };
    }
    case 'pod': {
      const pod = lookups.pod(target.namespace, target.name);
      if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, target.name);
      if (pod.nodeName === '') throw serviceUnavailable(`pod ${target.name} does not have a host assigned`);
      if (pod.ip === undefined) throw serviceUnavailable(`pod ${target.name} has no address yet`);
      // A pod on the host's network has the node's address, which an agent lets nobody dial but by its empty name.
      const tunnelHost = pod.hostNetwork ? '' : pod.ip;
      return { nodeName: pod.nodeName, tunnelHost, directHosts: [pod.ip], port: target.port };
    }
    case 'service': {
      const endpoints = lookups.endpoints(target.namespace, target.name, target.port);
      if (endpoints === undefined) throw notFound({ group: '', resource: 'services' }, target.name);
      const endpoint = endpoints[Math.floor(random() * endpoints.length)];
      if (endpoint === undefined) throw serviceUnavailable(`no endpoints available for service "${target.name}"`);
      const { nodeName, ip, port } = endpoint;
      const isNodeAddress = nodeName !== undefined && lookups.node(nodeName)?.addresses.includes(ip) === true;
      return { nodeName, tunnelHost: isNodeAddress ? '' : ip, directHosts: [ip], port };
    }
  }
}

function serviceUnavailable(message: string, cause?: unknown): ApiError {
  return new ApiError(503, 'ServiceUnavailable', message, undefined, cause === undefined ? undefined : { cause });
}

function unreachable(target: DialTarget, nodeName: string | undefined, cause: unknown): ApiError {
  const what = target.kind === 'node' ? `node ${target.name}` : `${target.kind} ${target.namespace}/${target.name}`;
  const where = target.kind === 'node' || nodeName === undefined ? '' : ` on node ${nodeName}`;
  return serviceUnavailable(`error trying to reach ${what}${where}: ${describeError(cause)}`, cause);
}
