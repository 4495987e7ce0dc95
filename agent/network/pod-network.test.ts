import { describe, expect, it } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { HostChanges } from './host-changes.ts';
import { createPodNetwork } from './pod-network.ts';

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
    transport: 'auto',
    vxlanPort: 8472,
    probePort: 10256,
    onProblems: () => {},
    resolver: { address: '169.254.10.53', port: 10053 },
    iptables: 'iptables',
  });
}

describe('pod network', () => {
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
