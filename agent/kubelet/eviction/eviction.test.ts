import { describe, expect, test } from 'vitest';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { CALM, type Observations, stepEviction } from './eviction-state.ts';
import { localStorageExcess, NO_USAGE, type PodUsage } from './pod-usage.ts';
import { type Candidate, evictionMessage, rankForEviction } from './ranking.ts';
import { parseThresholds, type Signal, type ThresholdConfig, withAllocatable } from './thresholds.ts';

const MIB = 2 ** 20;
const parse = (config: Partial<ThresholdConfig>) =>
  parseThresholds({ hard: [], soft: [], softGracePeriod: [], minimumReclaim: [], ...config });

describe('thresholds', () => {
  test('are amounts or shares, hard or soft', () => {
    expect(
      parse({
        hard: ['memory.available<100Mi', 'nodefs.available<10%'],
        soft: ['memory.available<300Mi'],
        softGracePeriod: ['memory.available=1m30s'],
        minimumReclaim: ['nodefs.available=1Gi'],
      }),
    ).toEqual([
      {
        signal: 'memory.available',
        value: { kind: 'amount', amount: 100 * MIB },
        gracePeriodMs: 0,
        minReclaim: undefined,
      },
      {
        signal: 'nodefs.available',
        value: { kind: 'share', share: 0.1 },
        gracePeriodMs: 0,
        minReclaim: { kind: 'amount', amount: 1024 * MIB },
      },
      {
        signal: 'memory.available',
        value: { kind: 'amount', amount: 300 * MIB },
        gracePeriodMs: 90_000,
        minReclaim: undefined,
      },
    ]);
  });

  test.each([
    [{ hard: ['memory.free<1Mi'] }, 'is not <signal><<value>'],
    [{ hard: ['memory.available<lots'] }, 'neither a quantity nor a percentage'],
    [{ hard: ['memory.available<100%'] }, 'not less than 100%'],
    [{ soft: ['memory.available<1Mi'] }, 'grace period must be specified'],
    [{ soft: ['memory.available<1Mi'], softGracePeriod: ['memory.available=soon'] }, 'is not a duration'],
  ])('%o is refused', (config, message) => {
    expect(() => parse(config)).toThrow(message);
  });
});

describe('stepEviction', () => {
  const thresholds = parse({
    hard: ['memory.available<100Mi'],
    soft: ['nodefs.available<20%'],
    softGracePeriod: ['nodefs.available=1m'],
    minimumReclaim: ['memory.available=50Mi'],
  });
  const seen = (memoryMib: number, disk: number): Observations =>
    new Map([
      ['memory.available', { available: memoryMib * MIB, capacity: 1024 * MIB }],
      ['nodefs.available', { available: disk, capacity: 100 }],
    ]);
  /** Looks a minute apart; what is met and which pressures hold after each. */
  const run = (...looks: readonly Observations[]) => {
    let state = CALM;
    return looks.map((observations, index) => {
      const step = stepEviction({ thresholds, observations, state, transitionMs: 150_000, nowMs: index * 60_000 });
      state = step.state;
      return [step.met.map(({ signal }) => signal).join(), [...step.pressures].join()];
    });
  };

  test('a hard threshold is met at once and left with its minimum reclaim only', () => {
    expect(run(seen(99, 50), seen(140, 50), seen(151, 50))).toEqual([
      ['memory.available', 'MemoryPressure'],
      ['memory.available', 'MemoryPressure'],
      ['', 'MemoryPressure'],
    ]);
  });

  test('a soft threshold is met after its grace period, the condition holds at once', () => {
    expect(run(seen(500, 19), seen(500, 19), seen(500, 50))).toEqual([
      ['', 'DiskPressure'],
      ['nodefs.available', 'DiskPressure'],
      ['', 'DiskPressure'],
    ]);
  });

  test('a soft threshold that is left meanwhile starts anew', () => {
    expect(run(seen(500, 19), seen(500, 30), seen(500, 19)).map(([met]) => met)).toEqual(['', '', '']);
  });

  test('a condition ends after the transition period', () => {
    const calm = seen(500, 50);
    expect(run(seen(99, 50), seen(200, 50), calm, calm).map(([, pressures]) => pressures)).toEqual([
      'MemoryPressure',
      'MemoryPressure',
      'MemoryPressure',
      '',
    ]);
  });

  test('memory comes before the disk, whatever the order of the configuration', () => {
    const both = parse({ hard: ['nodefs.available<20%', 'pid.available<10', 'memory.available<100Mi'] });
    const observations: Observations = new Map([
      ...seen(99, 19),
      ['pid.available', { available: 5, capacity: 100 }] as const,
    ]);
    const step = stepEviction({ thresholds: both, observations, state: CALM, transitionMs: 0, nowMs: 0 });
    expect(step.met.map(({ signal }) => signal)).toEqual(['pid.available', 'memory.available', 'nodefs.available']);
    expect([...step.pressures].sort()).toEqual(['DiskPressure', 'MemoryPressure', 'PIDPressure']);
  });

  test('a minimum reclaim may be a share, and counts for the soft threshold of its signal, too', () => {
    const soft = parse({
      soft: ['nodefs.available<20%'],
      softGracePeriod: ['nodefs.available=0s'],
      minimumReclaim: ['nodefs.available=10%'],
    });
    let state = CALM;
    const met = [19, 29, 30].map((disk, index) => {
      const step = stepEviction({
        thresholds: soft,
        observations: seen(500, disk),
        state,
        transitionMs: 0,
        nowMs: index * 1000,
      });
      state = step.state;
      return step.met.length;
    });
    expect(met).toEqual([1, 1, 0]);
  });

  test('a crossing begins the transition period anew', () => {
    const calm = seen(500, 50);
    const pressures = run(seen(99, 50), calm, seen(99, 50), calm, calm, calm).map(([, held]) => held);
    expect(pressures).toEqual([...Array(5).fill('MemoryPressure'), '']);
  });

  test('what cannot be read evicts nobody', () => {
    expect(run(new Map())).toEqual([['', '']]);
  });
});

const usage = (memoryMib: number, diskMib = 0): PodUsage => ({
  ...NO_USAGE,
  containers: [{ name: 'app', memoryBytes: memoryMib * MIB, diskBytes: diskMib * MIB, inodes: 0 }],
});
const candidate = (name: string, used: PodUsage, request: string | undefined, priority = 0): Candidate => ({
  pod: podWith(
    {
      priority,
      containers: [container('app', { resources: request === undefined ? {} : { requests: { memory: request } } })],
    },
    { name, uid: name },
  ),
  usage: used,
});

test('pods above their request go first, then low priority, then the greatest excess', () => {
  const ranked = rankForEviction('memory.available', [
    candidate('within', usage(100), '200Mi'),
    candidate('critical', usage(999), undefined, 2_000_000_000),
    candidate('important', usage(300), undefined, 100),
    candidate('little', usage(50), undefined),
    candidate('much', usage(250), '100Mi'),
    candidate('small-and-within', usage(10), '200Mi', -1),
  ]);
  expect(ranked.map(({ pod }) => pod.metadata.name)).toEqual([
    'much',
    'little',
    'important',
    'small-and-within',
    'within',
  ]);
});

test('the message names the containers that used more than they asked for', () => {
  const [threshold] = parse({ hard: ['memory.available<100Mi'] });
  const observed = { available: 50 * MIB + 3, capacity: 1024 * MIB };
  expect(evictionMessage(threshold!, observed, candidate('web', usage(150), '100Mi'))).toBe(
    'The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using 150Mi, request is 100Mi, has larger consumption of memory. ',
  );
});

test('with memory reserved for the system, hard thresholds of memory hold for all pods together', () => {
  const thresholds = parse({
    hard: ['memory.available<100Mi', 'nodefs.available<10%'],
    soft: ['memory.available<300Mi'],
    softGracePeriod: ['memory.available=1m'],
  });
  expect(withAllocatable(thresholds, 0)).toEqual(thresholds);
  const [more, ...others] = withAllocatable(thresholds, 1).slice(thresholds.length);
  expect([more?.signal, more?.value, others]).toEqual([
    'allocatableMemory.available',
    { kind: 'amount', amount: 100 * MIB },
    [],
  ]);
});

describe('local storage', () => {
  const limited = podWith({
    volumes: [{ name: 'cache', emptyDir: { sizeLimit: '10Mi' } }],
    containers: [
      container('app', { resources: { limits: { 'ephemeral-storage': '20Mi' } } }),
      container('b', { resources: { limits: { 'ephemeral-storage': '20Mi' } } }),
    ],
  });
  const volume = (mib: number) => new Map([['cache', { bytes: mib * MIB, inodes: 1 }]]);
  test.each<readonly [string, PodUsage, string | undefined]>([
    ['within all limits', { ...usage(0, 5), volumes: volume(10) }, undefined],
    [
      'a volume',
      { ...usage(0, 5), volumes: volume(11) },
      'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". ',
    ],
    ['a container', usage(0, 21), 'Container app exceeded its local ephemeral storage limit "20Mi". '],
    ['the pod', usage(0, 41), 'Pod ephemeral local storage usage exceeds the total limit of containers 40Mi. '],
  ])('%s', (_name, used, message) => {
    expect(localStorageExcess(limited, used)).toBe(message);
  });
});

test.each<readonly [Signal, string]>([
  ['pid.available', 'many'],
  ['nodefs.inodesFree', 'files'],
])('%s ranks by number', (signal, first) => {
  const ranked = rankForEviction(signal, [
    candidate('idle', NO_USAGE, undefined),
    { ...candidate('many', { ...NO_USAGE, processes: 9 }, undefined) },
    { ...candidate('files', { ...NO_USAGE, volumes: new Map([['v', { bytes: 0, inodes: 9 }]]) }, undefined) },
  ]);
  expect(ranked[0]?.pod.metadata.name).toBe(first);
});

test('what cannot be requested ranks by priority first, then by number', () => {
  const many = (name: string, processes: number, priority: number): Candidate =>
    candidate(name, { ...NO_USAGE, processes }, undefined, priority);
  const ranked = rankForEviction('pid.available', [
    many('low-few', 2, 0),
    many('high-many', 99, 10),
    many('low-many', 9, 0),
  ]);
  expect(ranked.map(({ pod }) => pod.metadata.name)).toEqual(['low-many', 'low-few', 'high-many']);
});

test.each([
  ['a static pod', { annotations: { 'kubernetes.io/config.source': 'file' } }, 0],
  ['a critical pod', {}, 2_000_000_000],
])('%s is never ended for others', (_name, metadata, priority) => {
  const pod = podWith({ priority }, metadata);
  expect(rankForEviction('memory.available', [{ pod, usage: usage(999) }])).toEqual([]);
});
