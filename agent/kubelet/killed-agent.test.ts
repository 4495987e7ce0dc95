import { afterEach, describe, expect, test } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import { DEATHS, type Death, dieAt, type Watched } from './testing/killed-agent.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig?.stop());

/** All that changes the runtime, and what the agent remembers of it: it may die at any of them, in whatever order they come. */
const CHANGING = [
  'runSandbox',
  'createContainer',
  'startContainer',
  'stopContainer',
  'stopSandbox',
  'removeContainer',
  'removeSandbox',
] as const;
const LEDGER = '/var/lib/coracle/agent/ledger';
const PLACES = [LEDGER, '/var/lib/kubelet/pods', '/var/log/pods', '/var/log/containers', '/run/coracle/pods/memory'];

const watched = (): Watched[] => [
  { owner: rig.runtime, methods: CHANGING, isStep: () => true },
  { owner: rig.host.fs, methods: ['writeAtomic', 'remove'], isStep: ([path]) => String(path).startsWith(LEDGER) },
];

const app = (name: string, more: object = {}) => ({ name, image: TEST_IMAGE, ...more });
const seconds = async (count: number, isOver: () => boolean = () => false) => {
  for (let second = 0; second < count && !isOver(); second++) await rig.advance(1000);
};
const until = async (isReached: () => boolean, isOver: () => boolean = () => false) => {
  for (let second = 0; second < 60 && !isReached() && !isOver(); second++) await rig.advance(1000);
};
const isReady = () => rig.condition('Ready')?.status === 'True';
const newest = (name: string) =>
  [...rig.runtime.containers.values()].map(({ status }) => status).findLast((one) => one.name === name);
const exit = (name: string, code: number) => {
  const found = newest(name);
  if (found?.state === 'RUNNING') rig.runtime.exitContainer(found.id, code);
};
const remove = async (gracePeriodSeconds: number) => {
  await rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds });
  await rig.settle();
};

interface Life {
  readonly spec: Partial<NonNullable<Pod['spec']>>;
  /** Up to where the agent may die; it lives through this without a scratch. */
  readonly before?: () => Promise<void>;
  readonly act: (isOver: () => boolean) => Promise<void>;
  /** What the next agent sees happen, until all is as it was to be. */
  readonly after: () => Promise<void>;
  /** Starts in all of its life, by container. */
  readonly starts: Readonly<Record<string, number>>;
  /** What runs in the end. */
  readonly running: readonly string[];
  /** Steps of these kinds are there to die at. */
  readonly steps: readonly string[];
  readonly expectEnd?: () => void;
}

const FAMILY = {
  terminationGracePeriodSeconds: 5,
  initContainers: [app('first'), app('side', { restartPolicy: 'Always' })],
  containers: [app('app'), app('other')],
};
const FAMILY_STARTS = { first: 1, side: 1, app: 1, other: 1 };
const bringUp = async (isOver?: () => boolean) => {
  await until(() => {
    exit('first', 0);
    return isReady();
  }, isOver);
};
/** An attempt that never ran counts, as with Kubernetes. */
const expectRestarts = (count: number) =>
  expect([count, count + 1]).toContain(rig.containerStatus('app')?.restartCount);
const isGone = () => rig.pod() === undefined && rig.runtime.sandboxes.size === 0;

const LIVES: Readonly<Record<string, Life>> = {
  'comes up': {
    spec: FAMILY,
    act: bringUp,
    after: bringUp,
    starts: FAMILY_STARTS,
    running: ['app', 'other', 'side'],
    steps: ['writeAtomic', 'runSandbox', 'createContainer', 'startContainer'],
    expectEnd: () => expectRestarts(0),
  },
  'has a container that crashes': {
    spec: { terminationGracePeriodSeconds: 5, containers: [app('app'), app('other')] },
    async before() {
      await until(isReady);
      exit('app', 1);
      await seconds(20);
    },
    async act(isOver) {
      exit('app', 1);
      await seconds(30, isOver);
    },
    async after() {
      await until(isReady);
      await seconds(5);
    },
    starts: { app: 3, other: 1 },
    running: ['app', 'other'],
    steps: ['writeAtomic', 'createContainer', 'startContainer', 'removeContainer'],
    expectEnd: () => expectRestarts(2),
  },
  'runs to its end': {
    spec: { terminationGracePeriodSeconds: 5, restartPolicy: 'Never', containers: [app('app'), app('other')] },
    before: () => until(isReady),
    async act(isOver) {
      exit('app', 0);
      exit('other', 3);
      await until(() => rig.pod()?.status?.phase === 'Failed', isOver);
      await seconds(5, isOver);
    },
    after: () => seconds(15),
    starts: { app: 1, other: 1 },
    running: [],
    steps: ['writeAtomic', 'stopSandbox'],
    expectEnd: () => expect(rig.pod()?.status?.phase).toBe('Failed'),
  },
  goes: {
    spec: FAMILY,
    before: bringUp,
    async act(isOver) {
      await remove(5);
      await until(isGone, isOver);
    },
    after: () => until(isGone),
    starts: FAMILY_STARTS,
    running: [],
    steps: ['writeAtomic', 'stopContainer', 'stopSandbox', 'removeSandbox', 'remove'],
    expectEnd: () => expect(rig.pod()).toBeUndefined(),
  },
  'is deleted by force': {
    spec: { terminationGracePeriodSeconds: 5, containers: [app('app')] },
    before: () => until(isReady),
    async act(isOver) {
      await remove(0);
      await until(isGone, isOver);
    },
    after: () => until(isGone),
    starts: { app: 1 },
    running: [],
    steps: ['stopContainer', 'removeSandbox', 'remove'],
    expectEnd: () => expect(rig.pod()).toBeUndefined(),
  },
};

/** Starts that reached the runtime, by name of the container; the same one twice is one too many. */
function countStarts(ids: readonly string[], names: ReadonlyMap<string, string>): Record<string, number> {
  expect(new Set(ids).size).toBe(ids.length);
  const counts: Record<string, number> = {};
  for (const id of ids) {
    const name = names.get(id) ?? id;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

async function live({ spec, before, act, after, starts, running, expectEnd }: Life, step: number, death: Death) {
  rig = new KubeletRig();
  const { runtime, host } = rig;
  const names = new Map<string, string>();
  const created = runtime.createContainer.bind(runtime);
  runtime.createContainer = async (sandbox, config, sandboxConfig) => {
    const id = await created(sandbox, config, sandboxConfig);
    names.set(id, config.name);
    return id;
  };
  await rig.start();
  if (before !== undefined) {
    await rig.createPod(spec);
    await before();
  }
  const died = await dieAt({ rig, watched: watched(), step, death }, async (isOver) => {
    if (before === undefined) await rig.createPod(spec);
    await act(isOver);
  });
  await after();
  const at = `${death} step ${step} (${died})`;
  const ids = runtime.calls.filter(({ method }) => method === 'startContainer').map(({ args }) => String(args[0]));
  expect([at, countStarts(ids, names)]).toEqual([at, starts]);
  const now = [...runtime.containers.values()].map(({ status }) => status);
  const ofState = (state: string) => now.filter((one) => one.state === state).map(({ name }) => name);
  expect([at, ofState('RUNNING').sort()]).toEqual([at, running]);
  // The last one before it is kept, for its log; an attempt that never ran is that too.
  for (const name of Object.keys(starts)) expect(now.filter((one) => one.name === name).length).toBeLessThanOrEqual(2);
  const ready = [...runtime.sandboxes.values()].filter((one) => one.ready);
  expect([at, ready.length]).toEqual([at, running.length > 0 ? 1 : 0]);
  expectEnd?.();
  if (rig.pod() !== undefined) await remove(5);
  await until(isGone);
  await seconds(5);
  const left = await Promise.all(PLACES.map((place) => host.fs.list(place)));
  expect([at, runtime.containers.size, runtime.sandboxes.size, ...left.flat()]).toEqual([at, 0, 0]);
  rig.stop();
  return died;
}

describe.each(Object.entries(LIVES))('an agent that is killed while a pod %s', (_name, life) => {
  test.each(DEATHS)(
    '(%s) at any step starts nothing twice, loses nothing and leaves nothing',
    { timeout: 120_000 },
    async (death) => {
      const kinds = new Set<string>();
      for (let step = 1; ; step++) {
        const died = await live(life, step, death);
        if (died === undefined) break;
        kinds.add(died);
        expect(step).toBeLessThan(60);
      }
      expect([...kinds]).toEqual(expect.arrayContaining([...life.steps]));
    },
  );
});
