import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import type { ContainerConfig, SandboxConfig } from '../cri/runtime.ts';
import { PodPaths } from './config/pod-paths.ts';
import { KubeletRig } from './testing/kubelet-rig.ts';
import { UserRanges } from './user-ranges.ts';

const paths = new PodPaths({ kubelet: '/kubelet', podLogs: '/logs', containerLogs: '/links' });
const handlers = [
  { name: '', recursiveReadOnlyMounts: true, userNamespaces: true },
  { name: 'old', recursiveReadOnlyMounts: false, userNamespaces: false },
];
let fs: FakeFileSystem;
let ranges: UserRanges;
beforeEach(() => {
  fs = new FakeFileSystem();
  fs.seed('/kubelet/pods/none', '');
  ranges = new UserRanges({ fs, paths, handlers });
});

const pod = (uid: string, spec: object = { hostUsers: false }) =>
  ({ metadata: { name: uid, uid }, spec: { ...spec, containers: [] } }) as unknown as Pod;
const range = (hostId: number) => [{ hostId, containerId: 0, length: 65_536 }];

it('gives each pod ids that no other has, and the same again', async () => {
  const all = await Promise.all(['a', 'b', 'c'].map((uid) => ranges.allocate(pod(uid), '')));
  expect(all).toEqual([range(65_536), range(131_072), range(196_608)]);
  // After a restart of the agent too.
  const next = new UserRanges({ fs, paths, handlers });
  expect(await next.allocate(pod('b'), '')).toEqual(range(131_072));
  expect(await next.rangeOf(pod('c'))).toEqual(range(196_608));
  await fs.remove(paths.pod('a'));
  expect(await next.allocate(pod('d'), '')).toEqual(range(65_536));
});

it('has nothing to do with pods that share the users of the host', async () => {
  for (const spec of [{}, { hostUsers: true }]) {
    expect(await ranges.allocate(pod('a', spec), 'old')).toBeUndefined();
    expect(await ranges.rangeOf(pod('a', spec))).toBeUndefined();
  }
});

it.each([
  ['old', 'RuntimeClass handler "old" does not support user namespaces'],
  ['unknown', 'RuntimeClass handler "unknown" does not support user namespaces'],
])('runs no pod as root of the host that asked not to be: %s', async (handler, message) => {
  await expect(ranges.allocate(pod('a'), handler)).rejects.toThrow(message);
});

it('tells of a runtime that says nothing of user namespaces', async () => {
  const plain = new UserRanges({ fs, paths, handlers: [] });
  await expect(plain.allocate(pod('a'), '')).rejects.toThrow('the runtime does not support user namespaces');
});

it('leaves containers of a sandbox without a range where their sandbox is', async () => {
  expect(await ranges.rangeOf(pod('a'))).toBeUndefined();
});

describe('a node', () => {
  const rig = { current: new KubeletRig() };
  afterEach(() => rig.current.stop());

  it('runs all of a pod in a user namespace of its own, also after a restart of the agent', async () => {
    rig.current = new KubeletRig();
    const { runtime } = rig.current;
    runtime.runtimeFeatures = { supplementalGroupsPolicy: true, handlers };
    await rig.current.start();
    const { status } = await rig.current.client.resource<Node>(resources.nodes).fetch('node-1');
    expect(status?.runtimeHandlers).toEqual([
      { name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: true } },
      { name: 'old', features: { recursiveReadOnlyMounts: false, userNamespaces: false } },
    ]);
    await rig.current.createPod({ hostUsers: false });
    await rig.current.createPod({}, 'other');
    const mappings = () => ({
      sandboxes: runtime.callsOf('runSandbox').map(({ args }) => (args[0] as SandboxConfig).namespaces.userMappings),
      containers: runtime
        .callsOf('createContainer')
        .map(({ args }) => args.map((arg) => (arg as ContainerConfig)?.namespaces?.userMappings).find(Boolean)),
    });
    expect(mappings()).toEqual({ sandboxes: [range(65_536), undefined], containers: [range(65_536), undefined] });
    await rig.current.restart();
    for (const { id } of [...runtime.sandboxes.values()]) runtime.killSandbox(id);
    await rig.current.advance(30_000);
    expect(new Set(mappings().sandboxes.map((found) => found?.[0]?.hostId))).toEqual(new Set([65_536, undefined]));
  });

  it('whose runtime cannot do that says so, and runs nothing of the pod', async () => {
    rig.current = new KubeletRig();
    rig.current.runtime.runtimeFeatures = { supplementalGroupsPolicy: false, handlers: [] };
    await rig.current.start();
    await rig.current.createPod({ hostUsers: false });
    expect(rig.current.runtime.callsOf('runSandbox')).toEqual([]);
    expect(await rig.current.eventTextsInTheEnd()).toContain(
      "FailedCreatePodSandBox: Failed to create pod sandbox: can't set spec.hostUsers to false: the runtime does not support user namespaces",
    );
  });
});
