import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { TunnelTarget } from '#api/tunnel/frames.ts';
import { type ClusterLookups, createClusterDialer } from './cluster-dialer.ts';
import type { DialTarget } from './dialer.ts';

const lookups: ClusterLookups = {
  node: (name) =>
    name === 'absent' ? undefined : { addresses: [`${name}-internal`, `${name}-external`], apiPort: 10250 },
  pod: (_, name) =>
    ({
      web: { nodeName: 'n1', ip: '10.244.1.5', hostNetwork: false },
      far: { nodeName: 'n2', ip: '10.244.2.5', hostNetwork: false },
      host: { nodeName: 'n1', ip: 'n1-internal', hostNetwork: true },
      loopback: { nodeName: 'n2', ip: '127.0.0.1', hostNetwork: false },
      mapped: { nodeName: 'n2', ip: '::ffff:127.0.0.1', hostNetwork: false },
      metadata: { nodeName: 'n2', ip: '169.254.169.254', hostNetwork: false },
      named: { nodeName: 'n2', ip: 'localhost', hostNetwork: false },
      pending: { nodeName: '', ip: undefined, hostNetwork: false },
    })[name],
  endpoints: (_, name) =>
    ({
      web: [{ ip: '10.244.1.5', port: 8080, nodeName: 'n1' }],
      outside: [{ ip: '192.0.2.1', port: 80, nodeName: undefined }],
      empty: [],
    })[name],
};

/** n1 has a tunnel, n2 has none; `refuse` makes hosts unreachable. */
function dialerWith(refuse: readonly string[] = []) {
  const dialed: string[] = [];
  const open = (where: string, host: string, port: number) => {
    dialed.push(`${where} ${host}:${port}`);
    if (refuse.includes(host)) throw new Error(`connect ECONNREFUSED ${host}:${port}`);
    return new PassThrough();
  };
  const dialer = createClusterDialer({
    hub: {
      isConnected: (name) => name === 'n1',
      open: async (name, { host, port }: TunnelTarget) => open(`via ${name}`, host, port),
    },
    lookups,
    directDial: async (host, port) => open('direct', host, port),
    random: () => 0,
  });
  return { dialer, dialed };
}

describe('cluster dialer', () => {
  it.each<[string, DialTarget, string[]]>([
    ['a node by its tunnel', { kind: 'node', name: 'n1', port: 10250 }, ['via n1 :10250']],
    ['a node without tunnel directly', { kind: 'node', name: 'n2', port: 10250 }, ['direct n2-internal:10250']],
    ["a pod by its node's tunnel", { kind: 'pod', namespace: 'd', name: 'web', port: 80 }, ['via n1 10.244.1.5:80']],
    [
      'a pod of a node without tunnel',
      { kind: 'pod', namespace: 'd', name: 'far', port: 80 },
      ['direct 10.244.2.5:80'],
    ],
    ['a host-network pod', { kind: 'pod', namespace: 'd', name: 'host', port: 9100 }, ['via n1 :9100']],
    [
      'a Service by an endpoint',
      { kind: 'service', namespace: 'd', name: 'web', port: 80 },
      ['via n1 10.244.1.5:8080'],
    ],
    ['an endpoint outside', { kind: 'service', namespace: 'd', name: 'outside', port: 80 }, ['direct 192.0.2.1:80']],
  ])('reaches %s', async (_, target, expected) => {
    const { dialer, dialed } = dialerWith();
    await dialer.dial(target);
    expect(dialed).toEqual(expected);
  });

  it('tries the addresses of a node in turn', async () => {
    const { dialer, dialed } = dialerWith(['n2-internal']);
    await dialer.dial({ kind: 'node', name: 'n2', port: 10250 });
    expect(dialed).toEqual(['direct n2-internal:10250', 'direct n2-external:10250']);
  });

  it.each(['loopback', 'mapped', 'metadata', 'named'])('leads to no %s address for a pod', async (name) => {
    const { dialer, dialed } = dialerWith();
    const dialing = dialer.dial({ kind: 'pod', namespace: 'd', name, port: 80 });
    await expect(dialing).rejects.toMatchObject({ code: 400, message: expect.stringContaining('address not allowed') });
    expect(dialed).toEqual([]);
  });

  it.each<[string, DialTarget, number, string]>([
    ['an unknown node', { kind: 'node', name: 'absent', port: 1 }, 404, 'nodes "absent" not found'],
    ['an unknown pod', { kind: 'pod', namespace: 'd', name: 'x', port: 1 }, 404, 'pods "x" not found'],
    [
      'a pod without node',
      { kind: 'pod', namespace: 'd', name: 'pending', port: 1 },
      503,
      'does not have a host assigned',
    ],
    [
      'a Service without endpoints',
      { kind: 'service', namespace: 'd', name: 'empty', port: 1 },
      503,
      'no endpoints available for service "empty"',
    ],
    ['an unknown Service', { kind: 'service', namespace: 'd', name: 'x', port: 1 }, 404, 'services "x" not found'],
    [
      'what refuses',
      { kind: 'pod', namespace: 'd', name: 'web', port: 1 },
      503,
      'pod d/web on node n1: connect ECONNREFUSED',
    ],
  ])('names %s', async (_, target, code, message) => {
    const { dialer } = dialerWith(['10.244.1.5']);
    await expect(dialer.dial(target)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });
});
