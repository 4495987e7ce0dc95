import { describe, expect, it } from 'vitest';
import {
  type AllocationCase,
  claim,
  DRIVER,
  exactly,
  id,
  NONE,
  outcomeOf,
  part,
  STEPS,
  shared,
  slice,
} from './testing/device-fixtures.ts';

const CASES: readonly AllocationCase[] = [
  {
    name: 'parts of a device, rounded as it wants it',
    slices: [shared('card', { memory: { value: '10Gi', requestPolicy: STEPS } })],
    claims: [claim([part('r', { memory: '2500Mi' }), part('q', {}), part('s', { [`${DRIVER}/memory`]: '6Gi' })])],
    expected: ['r=card memory 3Gi', 'q=card memory 1Gi', 's=card memory 6Gi'],
  },
  {
    name: 'parts of a device, as long as there is something left',
    slices: [
      shared('card', { memory: { value: '10Gi', requestPolicy: STEPS } }),
      shared('next', { memory: { value: '4Gi' } }, 'p'),
    ],
    consumed: { [id('card')]: { memory: '5Gi' } },
    claims: [claim([part('r', { memory: '4Gi' }), part('q', { memory: '2Gi' })])],
    expected: ['r=card memory 4Gi', 'q=next memory 2Gi'],
  },
  {
    name: 'parts of a device: all of it where nothing is said',
    slices: [shared('card', { memory: { value: '10Gi' }, cores: { value: '8' } })],
    claims: [claim([part('r', { memory: '1Gi' }), part('q', { memory: '1Gi' })])],
    expected: NONE,
  },
  {
    name: 'parts of a device: what it does not give',
    slices: [
      shared('none', {}),
      shared('little', { memory: { value: '10Gi', requestPolicy: { validRange: { min: '1Gi', max: '2Gi' } } } }, 'p'),
      shared(
        'other',
        { memory: { value: '10Gi', requestPolicy: { default: '1Gi', validValues: ['1Gi', '4Gi'] } } },
        'q',
      ),
    ],
    claims: [claim([part('r', { memory: '3Gi' })])],
    expected: ['r=other memory 4Gi'],
  },
  {
    name: 'a capacity that is asked of a device that is not shared',
    slices: [
      slice(
        {},
        {
          devices: ['4Gi', '8Gi'].map((value) => ({
            name: `d-${value.toLowerCase()}`,
            capacity: { memory: { value } },
          })),
        },
      ),
    ],
    claims: [claim([part('r', { memory: '6Gi' })])],
    expected: ['r=d-8gi'],
  },
  {
    name: 'parts of a partition take the counters of the whole once',
    slices: [
      slice(
        {},
        {
          sharedCounters: [{ name: 'card', counters: { memory: { value: '10Gi' } } }],
          devices: ['one', 'two'].map((name) => ({
            name,
            ...{ allowMultipleAllocations: true, capacity: { slots: { value: '2', requestPolicy: { default: '1' } } } },
            consumesCounters: [{ counterSet: 'card', counters: { memory: { value: '6Gi' } } }],
          })),
        },
      ),
    ],
    claims: [claim([exactly('r'), exactly('q')])],
    expected: ['r=one slots 1', 'q=one slots 1'],
  },
  {
    name: 'devices that have to be waited for come last',
    slices: [
      slice({}, { devices: [{ name: 'slow', bindingConditions: ['Attached'], bindingFailureConditions: ['Broken'] }] }),
      slice({ quick: {} }, { pool: { name: 'z', generation: 1, resourceSliceCount: 1 } }),
    ],
    claims: [claim([exactly('r', { count: 2 })])],
    expected: ['r=quick', 'r=slow'],
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
];

describe('a node gives parts', () => {
  it.each(CASES)('$name', (given) => {
    expect(outcomeOf(given)).toEqual(given.expected);
  });
});
