import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ResourceClient } from '#api/client/client.ts';
import { type Node, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { KUBELET_DEFAULTS } from '../kubelet-config.ts';
import { writeRecord } from '../volumes/csi/csi-record.ts';
import { NodeAgent } from './node-agent.ts';

const VOLUME = 'kubernetes.io/csi/d.test^h';
const FOLDER = `${KUBELET_DEFAULTS.rootDir}/plugins/kubernetes.io/csi/d.test/0123`;
let stop: AbortController;
let clock: FakeClock;
let host: FakeHost;
let agent: NodeAgent;
let nodes: ResourceClient<Node>;
/** Reasons of its Events. */
let told: string[];
/** Stands before each write of the status. */
let onPatch: () => Promise<void>;

const settle = async () => {
  for (let turn = 0; turn < 60; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};
const mount = () => writeRecord(host.fs, FOLDER, { driverName: 'd.test', volumeHandle: 'h' });
const inUse = async () => (await nodes.fetch('node-1')).status?.volumesInUse ?? [];

beforeEach(async () => {
  [stop, clock, host] = [new AbortController(), new FakeClock(), new FakeHost()];
  onPatch = async () => undefined;
  told = [];
  const client = new MemoryCluster(clock).client();
  nodes = client.resource<Node>(resources.nodes);
  const watched = new Proxy(nodes, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (key === 'patch') await onPatch();
        return Reflect.apply(value, target, args);
      };
    },
  });
  const none = () => undefined;
  const recorder = { record: (_subject: object, _type: string, reason: string) => told.push(reason) };
  agent = new NodeAgent({
    client: new Proxy(client, {
      get: (target, key) =>
        key === 'resource'
          ? (info: never) => (info === resources.nodes ? watched : target.resource(info))
          : Reflect.get(target, key),
    }),
    ...{ host, clock, log: silentLogger, runtime: new FakeRuntime({ clock }), recorder },
    config: { ...KUBELET_DEFAULTS, nodeName: 'node-1', nodeIps: ['192.168.1.10'], version: 'v1.36.0+test' } as never,
    ...{ unhealthy: none, networkTroubles: none, isShuttingDown: () => false },
    ...{ pressures: () => new Set<string>(), devices: () => new Map(), lookForDevices: async () => undefined },
  } as never);
  await agent.prepare();
  agent.start(stop.signal);
  await settle();
});
afterEach(() => stop.abort());

it('tells of a volume at once, and not before the API has accepted it', async () => {
  await mount();
  const accepted = Promise.withResolvers<void>();
  onPatch = () => accepted.promise;
  let isTold = false;
  const telling = agent.tellInUse(VOLUME).then(() => {
    isTold = true;
  });
  await settle();
  expect([isTold, await inUse()]).toEqual([false, []]);
  accepted.resolve();
  await telling;
  expect(await inUse()).toEqual([VOLUME]);
});

it('a report that had begun before does not count: it may take back what was told earlier', async () => {
  await mount();
  await agent.tellInUse(VOLUME);
  await host.fs.remove(FOLDER);
  const accepted = Promise.withResolvers<void>();
  onPatch = () => accepted.promise;
  agent.checkNow();
  await settle();
  await mount();
  const telling = agent.tellInUse(VOLUME);
  await settle();
  accepted.resolve();
  await telling;
  expect(await inUse()).toEqual([VOLUME]);
});

it('says so while the API is away, or does not answer; what became of a failed report is not taken for granted', async () => {
  await mount();
  await agent.tellInUse(VOLUME);
  await host.fs.remove(FOLDER);
  onPatch = async () => {
    // It comes through, and its answer is lost.
    await nodes.patch({
      name: 'node-1',
      type: 'merge',
      subresource: 'status',
      patch: { status: { volumesInUse: [] } },
    });
    throw new Error('connection reset');
  };
  agent.checkNow();
  await settle();
  await mount();
  await expect(agent.tellInUse(VOLUME)).rejects.toThrow('connection reset');
  onPatch = async () => undefined;
  await agent.tellInUse(VOLUME);
  expect(await inUse()).toEqual([VOLUME]);
  await host.fs.remove(FOLDER);
  onPatch = () => new Promise(() => undefined);
  const late = expect(agent.tellInUse(VOLUME)).rejects.toThrow('not told within 10s');
  await settle();
  await clock.advance(10_000);
  await late;
});

it('tells of itself once, of what others say against it, and of whoever closes the node', async () => {
  const HEALTH = ['NodeHasSufficientMemory', 'NodeHasNoDiskPressure', 'NodeHasSufficientPID', 'NodeReady'];
  expect(told.splice(0)).toEqual(['Starting', ...HEALTH]);
  await clock.advance(60_000);
  await settle();
  expect(told).toEqual([]);
  const node = await nodes.fetch('node-1');
  const conditions = node.status!.conditions!.map((condition) => ({ ...condition, status: 'Unknown' }));
  agent.onNode({ ...node, spec: { unschedulable: true }, status: { ...node.status, conditions } } as Node);
  await settle();
  expect(told).toEqual(['NodeNotSchedulable', ...HEALTH]);
});

it('tells who closes the node once, also where the answer to a report says so first', async () => {
  agent.onNode(await nodes.fetch('node-1'));
  told.splice(0);
  await nodes.patch({ name: 'node-1', type: 'merge', patch: { spec: { unschedulable: true } } });
  // The report that tells of it brings the closed node back.
  await mount();
  await agent.tellInUse(VOLUME);
  for (let time = 0; time < 2; time++) agent.onNode(await nodes.fetch('node-1'));
  expect(told).toEqual(['NodeNotSchedulable']);
});
