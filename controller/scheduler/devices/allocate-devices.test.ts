import { describe, expect, it } from 'vitest';
import type { ResourceClaim, ResourceSlice } from '#api/object/kinds.ts';
import { allocateDevices, TIMED_OUT } from './allocate-devices.ts';
import {
  type AllocationCase,
  allocate,
  cel,
  claim,
  DRIVER,
  exactly,
  FOUR,
  id,
  model,
  NONE,
  optionsOf,
  outcomeOf,
  slice,
} from './testing/device-fixtures.ts';

const CASES: readonly AllocationCase[] = [
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
    expected: `claim n/c, request r: asks for all devices, but resource pool ${DRIVER}/z is currently being updated`,
  },
  {
    name: 'all, while a pool of other nodes is incomplete',
    slices: [
      slice({ x: {} }),
      slice({ half: {} }, { nodeName: 'b', pool: { name: 'b', generation: 1, resourceSliceCount: 2 } }),
    ],
    claims: [claim([exactly('r', { allocationMode: 'All' })])],
    expected: ['r=x'],
  },
  {
    name: 'all, of which one is tainted',
    slices: [
      slice({}, { devices: [{ name: 'hot', taints: [{ key: 'hot', effect: 'NoExecute' }] }, { name: 'cold' }] }),
    ],
    claims: [claim([exactly('r', { allocationMode: 'All' })])],
    expected: NONE,
  },
  {
    name: 'all, of which there are more than a claim can hold',
    slices: [slice(Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`gpu-${i}`, {}])))],
    claims: [claim([exactly('r', { allocationMode: 'All' })])],
    expected: 'claim n/c: number of requested devices 33 exceeds the claim limit of 32',
  },
  {
    name: 'a pool in which two devices have one name',
    slices: [
      slice({ x: {} }, { pool: { name: 'a', generation: 1, resourceSliceCount: 2 } }),
      slice({ x: {} }, { pool: { name: 'a', generation: 1, resourceSliceCount: 2 } }),
    ],
    claims: [claim([exactly('r')])],
    expected: 'invalid resource pools were encountered',
  },
  {
    name: 'admin access: each device once in a claim, and again in another',
    slices: [slice({ x: {} })],
    claims: [claim([exactly('r', { adminAccess: true })]), claim([exactly('q', { adminAccess: true })])],
    expected: ['r=x (admin)', 'q=x (admin)'],
  },
  {
    name: 'admin access: not twice in one claim',
    slices: [slice({ x: {} })],
    claims: [claim([exactly('r', { adminAccess: true }), exactly('q', { adminAccess: true })])],
    expected: NONE,
  },
  {
    name: 'distinctAttribute: another one for each',
    claims: [claim([exactly('r', { count: 2 })], { constraints: [{ distinctAttribute: `${DRIVER}/numa` }] })],
    expected: ['r=gpu-0', 'r=gpu-2'],
  },
  {
    name: 'matchAttribute: lists are compared by nobody',
    slices: [slice({}, { devices: [{ name: 'x', attributes: { numa: { ints: [1, 2] } } }] })],
    claims: [claim([exactly('r')], { constraints: [{ matchAttribute: `${DRIVER}/numa` }] })],
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
    name: 'a search without end',
    slices: [
      slice(
        {},
        {
          sharedCounters: [{ name: 'card', counters: { memory: { value: '1000' } } }],
          devices: Array.from({ length: 60 }, (_, i) => ({
            name: `part-${i}`,
            consumesCounters: [{ counterSet: 'card', counters: { memory: { value: String(34 + (i % 30)) } } }],
          })),
        },
      ),
    ],
    claims: [claim([exactly('r', { count: 30 })])],
    expected: 'timed out trying to allocate devices',
  },
];

describe('a node gives', () => {
  it.each(CASES)('$name', (given) => {
    expect(outcomeOf(given)).toEqual(given.expected);
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

describe('a pool of a thousand devices', () => {
  const thousand = (attributes: (i: number) => Record<string, number>) =>
    slice(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`gpu-${i}`, attributes(i)])));
  const sameNuma = { constraints: [{ matchAttribute: `${DRIVER}/numa` }] };
  const all = Array.from({ length: 999 }, (_, i) => id(`gpu-${i}`));

  it.each<Omit<AllocationCase, 'allocated'> & { readonly allocated?: readonly string[] }>([
    {
      name: 'of which one is left',
      slices: [thousand(() => ({}))],
      allocated: all,
      claims: [claim([exactly('r')])],
      expected: ['r=gpu-999'],
    },
    {
      name: 'no two of which have a value in common',
      slices: [thousand((i) => ({ numa: i }))],
      claims: [claim([exactly('r', { count: 2 })], sameNuma)],
      expected: NONE,
    },
    {
      name: 'the last two of which have a value in common',
      slices: [thousand((i) => ({ numa: Math.min(i, 998) }))],
      claims: [claim([exactly('r'), exactly('q')], sameNuma)],
      expected: ['r=gpu-998', 'q=gpu-999'],
    },
    {
      name: 'all alike, for a claim of which a part can be had nowhere',
      slices: [thousand(() => ({ numa: 1 }))],
      claims: [
        claim([exactly('r', { count: 20 }), exactly('q', { count: 9 })], sameNuma),
        claim([exactly('x', cel('false'))]),
      ],
      expected: NONE,
    },
    {
      name: 'the few of one kind of which are wanted twice',
      slices: [thousand((i) => ({ numa: i < 990 ? 0 : 1 }))],
      claims: [
        claim([
          exactly('r', { count: 3 }),
          exactly('q', { count: 11, ...cel(`device.attributes["${DRIVER}"].numa == 1`) }),
        ]),
      ],
      expected: NONE,
    },
  ])('$name: decided without trying them all', (given) => {
    expect(outcomeOf(given, 2_000)).toEqual(given.expected);
  });

  it('is given up when a pod has had its time', () => {
    const outcome = allocateDevices({ ...optionsOf({ claims: [claim([exactly('r')])] }), isLate: () => true });
    expect(outcome).toEqual({ kind: 'none', reason: TIMED_OUT });
  });
});
