import { afterEach, describe, expect, it } from 'vitest';
import { type Node, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { createCidrPool } from './cidr-pool.ts';
import { startNodeIpamController } from './node-ipam-controller.ts';

let stop = () => {};
afterEach(() => stop());

function setUp(podCidrs = [{ cidr: '10.244.0.0/16', nodeMaskSize: 24 }]) {
  const harness = createControllerHarness({ podCidrs });
  stop = harness.stop;
  const nodes = harness.client.resource<Node>(resources.nodes);
  const add = (name: string, podCIDR?: string) =>
    nodes.create({ metadata: { name }, spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] } });
  const cidrOf = async (name: string) => (await nodes.fetch(name)).spec?.podCIDRs?.join();
  return { ...harness, nodes, add, cidrOf };
}

describe('node IPAM', () => {
  it('never hands out a block that a node has already', async () => {
    const { add, start, cidrOf, settle } = setUp();
    await add('new');
    await add('old', '10.244.0.0/24');
    await start(startNodeIpamController);
    await add('newer');
    await settle();
    expect([await cidrOf('old'), await cidrOf('new'), await cidrOf('newer')]).toEqual([
      '10.244.0.0/24',
      '10.244.1.0/24',
      '10.244.2.0/24',
    ]);
  });

  it('writes the same block again when the first write failed', async () => {
    const { add, start, cidrOf, cluster, advance, settle } = setUp();
    cluster.intercept = ({ verb }) => {
      if (verb === 'patch') throw new Error('lost');
    };
    await add('a');
    await start(startNodeIpamController);
    cluster.intercept = undefined;
    await advance(1000);
    await add('b');
    await settle();
    expect([await cidrOf('a'), await cidrOf('b')]).toEqual(['10.244.0.0/24', '10.244.1.0/24']);
  });

  it('serves a waiting node when a block becomes free', async () => {
    const { add, start, cidrOf, nodes, settle } = setUp([{ cidr: '10.0.0.0/23', nodeMaskSize: 24 }]);
    for (const name of ['a', 'b', 'c']) await add(name);
    await start(startNodeIpamController);
    expect(await cidrOf('c')).toBeUndefined();
    await nodes.delete({ name: 'a' });
    await settle();
    expect(await cidrOf('c')).toBe('10.0.0.0/24');
  });

  it('gives one block of each family', async () => {
    const { add, start, cidrOf } = setUp([
      { cidr: '10.244.0.0/16', nodeMaskSize: 24 },
      { cidr: 'fd00:10:244::/56', nodeMaskSize: 64 },
    ]);
    await add('a');
    await add('b');
    await start(startNodeIpamController);
    expect(await cidrOf('b')).toBe('10.244.1.0/24,fd00:10:244:1::/64');
  });
});

describe('CIDR pool', () => {
  it('goes on behind the last block instead of reusing one that was just freed', () => {
    const pool = createCidrPool('10.0.0.0/22', 24);
    const first = pool.allocate()!;
    pool.release(first);
    expect([first, pool.allocate()]).toEqual(['10.0.0.0/24', '10.0.1.0/24']);
  });

  it('refuses blocks of other networks and sizes', () => {
    const pool = createCidrPool('10.0.0.0/22', 24);
    expect(
      ['10.0.4.0/24', '9.255.255.0/24', '10.0.0.0/25', 'fd00::/24', 'nonsense'].map((block) => pool.occupy(block)),
    ).toEqual([false, false, false, false, false]);
  });
});
