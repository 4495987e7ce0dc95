import { describe, expect, it } from 'vitest';
import { resolveTunnelTarget } from './allowed-targets.ts';

const options = {
  nodeApiPort: 10250,
  podAddresses: () => new Set(['10.244.1.5']),
  hostPorts: () => new Set([9100]),
  isServiceAddress: (host: string) => host === '10.96.0.20',
};

describe('tunnel target', () => {
  it.each([
    ["the node's API", '', 10250, '127.0.0.1'],
    ['a declared port of a host-network pod', '', 9100, '127.0.0.1'],
    ['a pod of this node', '10.244.1.5', 8080, '10.244.1.5'],
    ['a Service', '10.96.0.20', 443, '10.96.0.20'],
    ['another port of the host', '', 22, undefined],
    ['the loopback by name', '127.0.0.1', 10250, undefined],
    ["another node's pod", '10.244.2.5', 8080, undefined],
    ['the LAN', '192.168.1.1', 80, undefined],
    ["the cloud's metadata", '169.254.169.254', 80, undefined],
    ['no port', '10.244.1.5', 0, undefined],
  ])('%s: %s:%i -> %s', (_, host, port, expected) => {
    expect(resolveTunnelTarget({ host, port }, options)?.host).toBe(expected);
  });
});
