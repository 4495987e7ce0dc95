import { describe, expect, it } from 'vitest';
import type { DeviceClass, ResourceClaim, ResourceSlice } from '#api/object/kinds.ts';
import { compileDeviceSelector } from '#controller/apiserver/cel/device-selector.ts';
import { allocateDevices } from './allocate-devices.ts';
import { gatherPools } from './device-pools.ts';
import { DeviceSelectors } from './device-selectors.ts';

const DRIVER = 'gpu.example.com';

type Attributes = Record<string, string | number | boolean>;

const attributesOf = (attributes: Attributes) =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      typeof value === 'string' ? { string: value } : typeof value === 'number' ? { int: value } : { bool: value },
    ]),
  );

/** Devices by name, with their attributes; a slice of node `a` unless it says otherwise. */
function slice(devices: Record<string, Attributes>, spec: object = {}): ResourceSlice {
  return {
    metadata: { name: 's' },
    spec: {
      driver: DRIVER,
      nodeName: 'a',
      pool: { name: 'a', generation: 1, resourceSliceCount: 1 },
      devices: Object.entries(devices).map(([name, attributes]) => ({ name, attributes: attributesOf(attributes) })),
      ...spec,
    },
  } as unknown as ResourceSlice;
}

const FOUR = slice({
  'gpu-0': { model: 'big', numa: 0 },
  'gpu-1': { model: 'small', numa: 0 },
  'gpu-2': { model: 'big', numa: 1 },
  'gpu-3': { model: 'small', numa: 1 },
});

const cel = (expression: string) => ({ selectors: [{ cel: { expression } }] });
const model = (name: string) => cel(`device.attributes["${DRIVER}"].model == "${name}"`);
const exactly = (name: string, more: object = {}) => ({
  name,
  exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1, ...more },
});

function claim(requests: readonly object[], more: object = {}): ResourceClaim {
  return {
    metadata: { name: 'c', namespace: 'n' },
    spec: { devices: { requests, ...more } },
  } as unknown as ResourceClaim;
}

const CLASSES: Readonly<Record<string, object>> = {
  gpu: { ...cel(`device.driver == "${DRIVER}"`), config: [{ opaque: { driver: DRIVER, parameters: { share: 1 } } }] },
  any: {},
  broken: cel('device.attributes["x"].y == 1'),
};

interface Case {
  readonly name: string;
  readonly slices?: readonly ResourceSlice[];
  readonly claims: readonly ResourceClaim[];
  readonly allocated?: readonly string[];
  /** `request=device` of all claims, or why there are none. */
  readonly expected: readonly string[] | string;
}

const NONE = 'cannot allocate all claims';
const id = (device: string) => `${DRIVER}/a/${device}`;

const CASES: readonly Case[] = [
  { name: 'the first that is free', claims: [claim([exactly('r')])], allocated: [id('gpu-0')], expected: ['r=gpu-1'] },
  { name: 'selectors of the request', claims: [claim([exactly('r', model('small'))])], expected: ['r=gpu-1'] },
  { name: 'a count', claims: [claim([exactly('r', { count: 3 })])], expected: ['r=gpu-0', 'r=gpu-1', 'r=gpu-2'] },
  { name: 'more than there are', claims: [claim([exactly('r', { count: 5 })])], expected: NONE },
  {
    name: 'several claims share no device',
    claims: [claim([exactly('r', model('big'))]), claim([exactly('q', model('big'))])],
    expected: ['r=gpu-0', 'q=gpu-2'],
  },
  {
    name: 'an earlier choice is taken back where a later request needs the device',
    claims: [
      claim([
        exactly('any'),
        exactly('first', cel(`device.attributes["${DRIVER}"].numa == 0`)),
        exactly('one', model('small')),
      ]),
    ],
    slices: [
      slice({
        'gpu-0': { model: 'small', numa: 0 },
        'gpu-1': { model: 'big', numa: 1 },
        'gpu-2': { model: 'small', numa: 2 },
      }),
    ],
    expected: ['any=gpu-1', 'first=gpu-0', 'one=gpu-2'],
  },
  {
    name: 'all that match',
    claims: [claim([exactly('r', { allocationMode: 'All', ...model('big') })])],
    expected: ['r=gpu-0', 'r=gpu-2'],
  },
  {
    name: 'all, of which one is taken',
    claims: [claim([exactly('r', { allocationMode: 'All', ...model('big') })])],
    allocated: [id('gpu-2')],
    expected: NONE,
  },
  { name: 'all of none', claims: [claim([exactly('r', { allocationMode: 'All', ...model('huge') })])], expected: NONE },
  {
    name: 'admin access: also what is taken',
    claims: [claim([exactly('r', { allocationMode: 'All', adminAccess: true, ...model('big') })])],
    allocated: [id('gpu-0')],
    expected: ['r=gpu-0 (admin)', 'r=gpu-2 (admin)'],
  },
  {
    name: 'matchAttribute: the same for all of them',
    claims: [
      claim([exactly('a', model('big')), exactly('b', model('small'))], {
        constraints: [{ matchAttribute: `${DRIVER}/numa` }],
      }),
    ],
    allocated: [id('gpu-1')],
    expected: ['a=gpu-2', 'b=gpu-3'],
  },
  {
    name: 'matchAttribute: devices that lack it do not match',
    claims: [claim([exactly('a')], { constraints: [{ matchAttribute: `${DRIVER}/colour` }] })],
    expected: NONE,
  },
  {
    name: 'matchAttribute: requests that it does not name are free',
    claims: [
      claim([exactly('a', model('big')), exactly('b', model('small'))], {
        constraints: [{ requests: ['a'], matchAttribute: `${DRIVER}/numa` }],
      }),
    ],
    allocated: [id('gpu-0'), id('gpu-3')],
    expected: ['a=gpu-2', 'b=gpu-1'],
  },
  {
    name: 'firstAvailable: the first way that can be had',
    claims: [
      claim([
        {
          name: 'r',
          firstAvailable: [
            { name: 'three', deviceClassName: 'gpu', count: 3, ...model('big') },
            { name: 'small', deviceClassName: 'gpu', count: 2, ...model('small') },
          ],
        },
      ]),
    ],
    expected: ['r/small=gpu-1', 'r/small=gpu-3'],
  },
  {
    name: 'firstAvailable: another way where a later request needs it',
    claims: [
      claim([
        {
          name: 'r',
          firstAvailable: [
            { name: 'x', deviceClassName: 'gpu', count: 2 },
            { name: 'y', deviceClassName: 'gpu', count: 1 },
          ],
        },
        exactly('q', { count: 3 }),
      ]),
    ],
    expected: ['r/y=gpu-0', 'q=gpu-1', 'q=gpu-2', 'q=gpu-3'],
  },
  {
    name: 'devices of another node',
    slices: [slice({ x: {} }, { nodeName: 'b' })],
    claims: [claim([exactly('r')])],
    expected: NONE,
  },
  {
    name: 'devices of all nodes',
    slices: [slice({ x: {} }, { nodeName: undefined, allNodes: true })],
    claims: [claim([exactly('r')])],
    expected: ['r=x'],
  },
  {
    name: 'devices of nodes by their labels, slice by slice or device by device',
    slices: [
      slice(
        { x: {} },
        {
          nodeName: undefined,
          nodeSelector: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'rack', operator: 'In', values: ['1'] }] }] },
        },
      ),
      slice(
        {},
        {
          nodeName: undefined,
          perDeviceNodeSelection: true,
          pool: { name: 'p', generation: 1, resourceSliceCount: 1 },
          devices: [
            { name: 'there', nodeName: 'b' },
            { name: 'here', nodeName: 'a' },
          ],
        },
      ),
    ],
    claims: [claim([exactly('r', { count: 2 })])],
    expected: ['r=x', 'r=here'],
  },
  {
    name: 'only the newest generation of a pool, and only once it is complete',
    slices: [
      slice({ old: {} }),
      slice({ new: {} }, { pool: { name: 'a', generation: 2, resourceSliceCount: 1 } }),
      slice({ half: {} }, { pool: { name: 'z', generation: 1, resourceSliceCount: 2 } }),
    ],
    claims: [claim([exactly('r')])],
    expected: ['r=new'],
  },
  {
    name: 'all, while a pool is incomplete',
    slices: [FOUR, slice({ half: {} }, { pool: { name: 'z', generation: 1, resourceSliceCount: 2 } })],
    claims: [claim([exactly('r', { allocationMode: 'All' })])],
    expected: NONE,
  },
  {
    name: 'tainted devices, for those who tolerate it',
    slices: [
      slice({}, { devices: [{ name: 'hot', taints: [{ key: 'hot', effect: 'NoSchedule' }] }, { name: 'cold' }] }),
    ],
    claims: [claim([exactly('r'), exactly('q', { tolerations: [{ key: 'hot', operator: 'Exists' }] })])],
    expected: ['r=cold', 'q=hot'],
  },
  {
    name: 'partitions share what the whole has',
    slices: [
      slice(
        {},
        {
          sharedCounters: [{ name: 'card', counters: { memory: { value: '10Gi' } } }],
          devices: ['6Gi', '5Gi', '4Gi'].map((value) => ({
            name: `part-${value.toLowerCase()}`,
            consumesCounters: [{ counterSet: 'card', counters: { memory: { value } } }],
          })),
        },
      ),
    ],
    claims: [claim([exactly('r', { count: 2 })])],
    expected: ['r=part-6gi', 'r=part-4gi'],
  },
  {
    name: 'what the scheduler cannot give is given to nobody',
    slices: [
      slice(
        {},
        {
          devices: [
            { name: 'x', allowMultipleAllocations: true },
            { name: 'y', bindingConditions: ['c'] },
          ],
        },
      ),
    ],
    claims: [claim([exactly('r')])],
    expected: NONE,
  },
  {
    name: 'a search without end',
    slices: [slice(Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`gpu-${i}`, { index: i }])))],
    claims: [claim([exactly('r', { count: 20 }), exactly('q', cel('false'))])],
    expected: 'timed out trying to allocate devices',
  },
];

function allocate({ slices = [FOUR], claims, allocated = [] }: Pick<Case, 'slices' | 'claims' | 'allocated'>) {
  return allocateDevices({
    claims,
    node: { name: 'a', labels: { rack: '1' } },
    pools: gatherPools(slices),
    allocated: new Set(allocated),
    classOf: (name) => ({ metadata: { name }, spec: CLASSES[name] }) as unknown as DeviceClass,
    selectors: new DeviceSelectors(compileDeviceSelector),
    maxSteps: 10_000,
  });
}

describe('a node gives', () => {
  it.each(CASES)('$name', (given) => {
    const outcome = allocate(given);
    const found =
      outcome.kind === 'none'
        ? outcome.reason
        : outcome.allocations.flatMap(({ devices }) =>
            (devices?.results ?? []).map((one) => `${one.request}=${one.device}${one.adminAccess ? ' (admin)' : ''}`),
          );
    expect(found).toEqual(given.expected);
  });
});

describe('what is written into a claim', () => {
  const allocationOf = (slices: readonly ResourceSlice[], asked: ResourceClaim) => {
    const outcome = allocate({ slices, claims: [asked] });
    return outcome.kind === 'allocated' ? outcome.allocations[0] : outcome.reason;
  };

  it('names the node of its devices, and carries the configuration of class and claim', () => {
    const opaque = { driver: DRIVER, parameters: { mode: 'x' } };
    const config = [
      { requests: ['r'], opaque },
      { requests: ['other'], opaque },
    ];
    expect(allocationOf([FOUR], claim([exactly('r', model('big'))], { config }))).toEqual({
      devices: {
        results: [{ request: 'r', driver: DRIVER, pool: 'a', device: 'gpu-0' }],
        config: [
          { source: 'FromClass', requests: ['r'], opaque: { driver: DRIVER, parameters: { share: 1 } } },
          { source: 'FromClaim', requests: ['r'], opaque },
        ],
      },
      nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }] },
    });
  });

  it('leaves all nodes to devices that all can use', () => {
    const everywhere = slice({ x: {} }, { nodeName: undefined, allNodes: true });
    expect(allocationOf([everywhere], claim([exactly('r', { deviceClassName: 'any' })]))).toEqual({
      devices: { results: [{ request: 'r', driver: DRIVER, pool: 'a', device: 'x' }] },
    });
  });
});

it('tells whose selector cannot be evaluated', () => {
  expect(() => allocate({ claims: [claim([exactly('r', { deviceClassName: 'broken' })])] })).toThrow(
    'class broken: selector #0: CEL runtime error: no such key: y',
  );
});
