import { describe, expect, it } from 'vitest';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { UNENCRYPTED } from '#test/kit/unencrypted.ts';
import { HostChanges } from './host-changes.ts';
import type { EncryptionOptions } from './paths/path-keeper.ts';
import { createPodNetwork } from './pod-network.ts';

function networkOn(
  host: FakeHost,
  clusterCidrs: RangesByFamily = { IPv4: '10.244.0.0/16' },
  encryption: EncryptionOptions = UNENCRYPTED,
) {
  return createPodNetwork({
    host,
    changes: new HostChanges(host, '/state/host-changes.json'),
    clock: systemClock,
    log: silentLogger,
    nodeName: 'me',
    clusterCidrs,
    cniConfigDirectory: '/cni',
    ipamDirectory: '/ipam',
    mtu: 1500,
    transport: 'auto',
    vxlanPort: 8472,
    encryption,
    probePort: 10256,
    onProblems: () => {},
    resolver: { addresses: { IPv4: '169.254.10.53', IPv6: 'fd63:6f72:6163:6c65::53' }, port: 10053 },
    iptables: { IPv4: 'iptables', IPv6: 'ip6tables' },
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
    await networkOn(host).applyPodCidrs(['10.244.0.0/24']);
    expect(host.sysctls.get('net.bridge.bridge-nf-call-iptables')).toBe('1');
  });

  it('gives pods an address of each family, in the order of the ranges of the node', async () => {
    const host = new FakeHost();
    await host.fs.makeDirectory('/state');
    const network = networkOn(host, { IPv6: 'fd42::/48', IPv4: '10.244.0.0/16' });
    await network.applyPodCidrs(['fd42:0:0:1::/64', '10.244.1.0/24']);
    const { plugins } = JSON.parse(await host.fs.readText('/cni/10-coracle.conflist'));
    expect(plugins[0].ipam.ranges).toEqual([[{ subnet: 'fd42:0:0:1::/64' }], [{ subnet: '10.244.1.0/24' }]]);
    const masquerades = host.exec.calls.filter(({ argv }) => argv.includes('MASQUERADE') && argv.includes('-C'));
    expect(masquerades.map(({ argv: [program, ...argv] }) => `${program} ${argv.slice(-7).join(' ')}`)).toEqual([
      'ip6tables -s fd42:0:0:1::/64 ! -d fd42::/48 -j MASQUERADE',
      'iptables -s 10.244.1.0/24 ! -d 10.244.0.0/16 -j MASQUERADE',
    ]);
  });

  it('keeps the default route that a router advertised when the kernel begins to forward IPv6', async () => {
    const host = new FakeHost();
    await host.fs.makeDirectory('/state');
    const order: string[] = [];
    const write = host.writeSysctl.bind(host);
    host.writeSysctl = (name, value) => {
      order.push(`${name}=${value}`);
      return write(name, value);
    };
    for (const name of ['net.ipv6.conf.eth0/7.accept_ra', 'net.ipv6.conf.wlan0.accept_ra'])
      host.sysctls.set(name, name.includes('eth0') ? '1' : '0');
    host.sysctls.set('net.ipv6.conf.all.forwarding', '0');
    host.exec.respond((argv) =>
      argv.includes('ra') ? '[{"dst":"default","dev":"eth0.7"},{"dst":"default","dev":"wlan0"}]' : undefined,
    );
    await networkOn(host, { IPv6: 'fd42::/48' }).applyPodCidrs(['fd42:0:0:1::/64']);
    expect(order).toEqual(['net.ipv6.conf.eth0/7.accept_ra=2', 'net.ipv6.conf.all.forwarding=1']);
  });

  it('leaves everything of IPv6 alone in a cluster without it', async () => {
    const host = new FakeHost();
    host.sysctls.set('net.ipv6.conf.all.forwarding', '0');
    await host.fs.makeDirectory('/state');
    await networkOn(host).applyPodCidrs(['10.244.0.0/24']);
    expect(host.sysctls.get('net.ipv6.conf.all.forwarding')).toBe('0');
    expect(host.exec.calls.filter(({ argv }) => argv.includes('ip6tables') || argv.includes('-6'))).toEqual([]);
  });

  it('keeps the route of a router of IPv6 that has not spoken yet, where that of IPv4 leads', async () => {
    const host = new FakeHost();
    await host.fs.makeDirectory('/state');
    host.sysctls.set('net.ipv6.conf.eth0.accept_ra', '1').set('net.ipv6.conf.docker0.accept_ra', '1');
    host.exec.respond((argv) =>
      argv.join(' ') === 'ip -j -4 route show default' ? '[{"dst":"default","dev":"eth0"}]' : undefined,
    );
    await networkOn(host, { IPv4: '10.244.0.0/16', IPv6: 'fd42::/48' }).applyPodCidrs(['fd42:0:0:1::/64']);
    expect(host.sysctls.get('net.ipv6.conf.eth0.accept_ra')).toBe('2');
    expect(host.sysctls.get('net.ipv6.conf.docker0.accept_ra')).toBe('1');
  });

  it('closes what an earlier configuration opened', async () => {
    const host = new FakeHost();
    await host.fs.makeDirectory('/state');
    let standing = ['-N CORACLE-INPUT', '-A dns', '-A dns', '-A 8472', '-A 51820'];
    host.exec.respond((argv) => (argv.slice(-2).join(' ') === '-S CORACLE-INPUT' ? standing.join('\n') : undefined));
    const emptied = () => host.exec.calls.some(({ argv }) => argv.slice(-2).join(' ') === '-F CORACLE-INPUT');
    await networkOn(host).applyPodCidrs(['10.244.0.0/24']);
    expect(emptied()).toBe(true);
    host.exec.calls.splice(0);
    standing = standing.slice(0, -1);
    await networkOn(host).applyPodCidrs(['10.244.0.0/24']);
    expect(emptied()).toBe(false);
  });

  it('keeps clear text back before anything is forwarded, where packets are to be encrypted', async () => {
    const host = new FakeHost();
    await host.fs.makeDirectory('/state');
    host.sysctls.set('net.ipv4.ip_forward', '0');
    let wasForwarding: string | undefined;
    let tables = '';
    host.exec.respond((argv, stdin) => {
      if (stdin?.includes('coracle-encryption')) wasForwarding = host.sysctls.get('net.ipv4.ip_forward');
      return argv.join(' ') === 'nft list tables' ? tables : undefined;
    });
    const network = networkOn(host, undefined, { ...UNENCRYPTED, isAsked: true });
    await network.applyPodCidrs(['10.244.0.0/24']);
    expect(wasForwarding).toBe('0');
    expect(host.sysctls.get('net.ipv4.ip_forward')).toBe('1');
    // Somebody else's flush, which leaves rules of iptables-legacy alone.
    expect(await network.isIntact()).toBe(false);
    tables = 'table ip kube-proxy\ntable inet coracle-encryption\n';
    expect(await network.isIntact()).toBe(true);
  });
});
