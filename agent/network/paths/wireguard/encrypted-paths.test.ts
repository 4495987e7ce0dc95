import { describe, expect, it } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { parseLinkTable } from '../link-table.ts';
import { computePodPaths } from '../pod-paths.ts';
import { parseRoutes, routesOf } from '../pod-routes.ts';
import { peersOf } from '../vxlan.ts';
import { wireguardPeersOf } from './encrypted-paths.ts';
import { findLackOfWireguard } from './find-lack.ts';
import { WIREGUARD_KEY_ANNOTATION } from './node-key.ts';
import { PodEncryption } from './pod-encryption.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const node = (key?: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'b', annotations: key === undefined ? {} : { [WIREGUARD_KEY_ANNOTATION]: key } },
    spec: { podCIDRs: ['10.244.1.0/24', 'fd00:244:1::/64'] },
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.2' }] },
  }) as unknown as Node;
const links = parseLinkTable(
  { IPv4: '[{"dst":"default","gateway":"192.0.2.254","dev":"eth0"},{"dst":"192.0.2.0/24","dev":"eth0"}]', IPv6: '' },
  '[]',
);
const clusterCidrs = { IPv4: '10.244.0.0/16', IPv6: 'fd00:244::/32' };
const scope = { ownName: 'me', clusterCidrs, transport: 'auto', links } as const;
const asked = { isAsked: true, isReady: true };

describe('packets to another node', () => {
  const through = (device: string | undefined) => ['10.244.1.0/24', 'fd00:244:1::/64'].map((cidr) => [cidr, device]);
  it.each([
    { name: 'are encrypted where both encrypt', encryption: asked, key: KEY, want: through('coracle-wg') },
    { name: 'do not go where only this node encrypts', encryption: asked, key: undefined, want: through(undefined) },
    { name: 'do not go where only the other encrypts', encryption: undefined, key: KEY, want: through(undefined) },
    {
      name: 'do not go where this node should encrypt and cannot',
      encryption: { isAsked: true, isReady: false },
      key: KEY,
      want: through(undefined),
    },
    { name: 'do not go by what is no key', encryption: asked, key: 'peer; remove', want: through(undefined) },
  ])('$name', ({ encryption, key, want }) => {
    const paths = computePodPaths([node(key)], { ...scope, ...(encryption === undefined ? {} : { encryption }) });
    expect(routesOf(paths).map(({ podCidr, device }) => [podCidr, device])).toEqual(want);
    expect(peersOf(paths)).toEqual([]);
  });

  it('go through the relay where that is the way, encrypted by its own tunnel', () => {
    const paths = computePodPaths([node()], { ...scope, encryption: asked, relayed: new Set(['b']) });
    expect(routesOf(paths).map(({ device }) => device)).toEqual(['coracle-vx', 'coracle-vx']);
  });

  it('do not go to a node that tells the key of another, which keeps what is its own', () => {
    const named = (name: string, index: number, creationTimestamp: string): Node => ({
      ...node(KEY),
      metadata: { ...node(KEY).metadata, name, creationTimestamp },
      spec: { podCIDRs: [`10.244.${index}.0/24`] },
    });
    const copy = named('a-copy', 2, '2026-02-01T00:00:00Z');
    const paths = computePodPaths([copy, named('own', 1, '2026-01-01T00:00:00Z')], { ...scope, encryption: asked });
    expect(routesOf(paths).map(({ podCidr, device }) => [podCidr, device])).toEqual([
      ['10.244.2.0/24', undefined],
      ['10.244.1.0/24', 'coracle-wg'],
    ]);
    const [peer, ...others] = wireguardPeersOf(paths, { clusterCidrs, links, port: 51820 });
    expect(others).toEqual([]);
    expect(peer?.allowedIps).toEqual(['10.244.1.0/24', '169.254.64.1/32']);
    // Nor where the key is this node's own.
    const me = { ...scope, ownName: 'own', encryption: asked };
    expect(computePodPaths([copy, named('own', 1, '2026-01-01T00:00:00Z')], me)[0]?.isBarred).toBe(true);
  });

  it('of both families belong to one peer', () => {
    const paths = computePodPaths([node(KEY)], { ...scope, encryption: asked });
    expect(wireguardPeersOf(paths, { clusterCidrs, links, port: 51820 })).toEqual([
      {
        publicKey: KEY,
        endpoint: '192.0.2.2:51820',
        allowedIps: ['10.244.1.0/24', 'fd00:244:1::/64', '169.254.64.1/32'],
        isKeptAlive: false,
      },
    ]);
  });
});

it('refused ranges are read back as iproute2 prints them', () => {
  const printed =
    '[{"type":"unreachable","dst":"fd00:244::/32","dev":"lo"},{"type":"unreachable","dst":"10.244.0.0/16"}]';
  expect(parseRoutes(printed).map(({ podCidr, device }) => [podCidr, device])).toEqual([
    ['fd00:244::/32', undefined],
    ['10.244.0.0/16', undefined],
  ]);
});

describe('what is in the way of encryption', () => {
  const rig = (isAsked: boolean) => {
    const clock = new FakeClock();
    const host = new FakeHost();
    const published: (string | undefined)[] = [];
    const encryption = new PodEncryption({
      ...{ host, clock, log: silentLogger, isAsked, clusterCidrs, port: 51820, keyPath: '/data/network/wireguard.key' },
      publishKey: async (key) => void published.push(key),
    });
    return { clock, host, encryption, published };
  };

  it('a node without a key is told of once it had time to tell one', async () => {
    const { clock, encryption } = rig(true);
    const paths = computePodPaths([node()], { ...scope, encryption: asked });
    expect(encryption.problems(paths, true)).toEqual([]);
    expect(encryption.lookAgainMs).toBe(30_000);
    await clock.advance(30_000);
    expect(encryption.lookAgainMs).toBeUndefined();
    const [problem] = encryption.problems(paths, true);
    expect(problem).toMatchObject({ reason: 'NotEncrypted', isDegraded: true });
    expect(problem?.cause).toMatch(/node\(s\) b have told no key/);
    expect(encryption.problems([], true)).toEqual([]);
    expect(encryption.problems(paths, true)).toEqual([]);
  });

  it('a host without wg sends nothing, says so, and takes back a key that it told before', async () => {
    const { host, encryption, published } = rig(true);
    host.exec.missing.add('wg');
    const wish = { addresses: ['10.244.0.0/32'], probeAddress: undefined, mtu: 1420 };
    const state = await encryption.prepare(wish);
    expect(state).toEqual({ isAsked: true, isReady: false });
    expect(encryption.problems([], false)).toMatchObject([{ reason: 'EncryptionUnavailable', isDegraded: false }]);
    expect(encryption.barriers().map(({ podCidr }) => podCidr)).toEqual(['10.244.0.0/16', 'fd00:244::/32']);
    await encryption.publish(node(KEY), state);
    expect(published).toEqual([undefined]);
    // It may have been a bad moment alone: tried again soon, then less often.
    expect(encryption.lookAgainMs).toBe(1_000);
    await encryption.prepare(wish);
    expect(encryption.lookAgainMs).toBe(2_000);
    host.exec.missing.delete('wg');
    host.exec.respond((argv) => (argv.includes('dump') ? 'PRIVATE=\tPUBLIC=\t51820\toff\n' : undefined));
    expect(await encryption.prepare(wish)).toEqual({ isAsked: true, isReady: true });
    expect(encryption.lookAgainMs).toBeUndefined();
  });

  it('rules that keep clear text back stand before anything else, and go when nobody asks', async () => {
    const { host, encryption } = rig(true);
    await encryption.prepare(undefined);
    expect(host.exec.calls.find(({ argv }) => argv[0] === 'nft')?.stdin).toMatch(
      /oifname != \{ "lo", "coracle0", "coracle-wg", "coracle-vx" \} ip daddr 10\.244\.0\.0\/16 counter drop/,
    );
    const off = rig(false);
    await off.encryption.prepare(undefined);
    expect(off.host.exec.calls.find(({ argv }) => argv[0] === 'nft')?.stdin).toBe(
      'table inet coracle-encryption\ndelete table inet coracle-encryption\n',
    );
    expect(off.encryption.barriers()).toEqual([]);
  });

  it('is found by the doctor too', async () => {
    const host = new FakeHost();
    expect(await findLackOfWireguard(host)).toBeUndefined();
    host.exec.missing.add('wireguard-go').add('modprobe');
    expect((await findLackOfWireguard(host))?.cause).toMatch(/the kernel has no WireGuard, and wireguard-go is not/);
    host.exec.missing.add('wg');
    expect((await findLackOfWireguard(host))?.cause).toMatch(/wg is not installed/);
  });
});
