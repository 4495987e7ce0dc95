import { describe, expect, it } from 'vitest';
import { ExecError } from '#agent/host/host.ts';
import type { Informer } from '#api/client/informer.ts';
import type { Node } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { HostChanges } from './host-changes.ts';
import { createPodNetwork } from './pod-network.ts';

const node = (name: string, podCIDR: string, address: string): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
  spec: { podCIDR },
  status: { addresses: [{ type: 'InternalIP', address }] },
});

function networkOn(host: FakeHost) {
  return createPodNetwork({
    host,
    changes: new HostChanges(host, '/state/host-changes.json'),
    clock: systemClock,
    log: silentLogger,
    nodeName: 'me',
    clusterCidr: '10.244.0.0/16',
    cniConfigDirectory: '/cni',
    ipamDirectory: '/ipam',
    mtu: 1500,
    resolver: { address: '169.254.10.53', port: 10053 },
    iptables: 'iptables',
  });
}

const commands = (host: FakeHost) => host.exec.calls.map(({ argv }) => argv.join(' '));

describe('pod network', () => {
  it('sets the routes to other nodes when the kernel refuses one', async () => {
    const host = new FakeHost();
    host.exec.respond((argv) => (argv.includes('203.0.113.7') ? new ExecError(argv, 2, 'invalid gateway') : undefined));
    const nodes = {
      addHandler() {},
      waitForSync: async () => {},
      list: () => [node('far', '10.244.1.0/24', '203.0.113.7'), node('near', '10.244.2.0/24', '192.0.2.2')],
    };
    const stop = new AbortController();
    networkOn(host).start(nodes as unknown as Informer<Node>, stop.signal);
    await expect.poll(() => commands(host)).toContain('ip route replace 10.244.2.0/24 via 192.0.2.2 proto 177');
    stop.abort();
  });

  it('loads the module that makes bridged traffic pass iptables, before it sets the key', async () => {
    const host = new FakeHost();
    host.exec.respond((argv) => {
      if (argv[0] === 'modprobe') host.sysctls.set('net.bridge.bridge-nf-call-iptables', '0');
      return undefined;
    });
    await host.fs.makeDirectory('/state');
    await networkOn(host).applyPodCidr('10.244.0.0/24');
    expect(host.sysctls.get('net.bridge.bridge-nf-call-iptables')).toBe('1');
  });
});
