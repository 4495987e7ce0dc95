import { describe, expect, it } from 'vitest';
import { volatileFields } from './volatile-update.ts';

const isVolatile = volatileFields(['status.conditions.*.lastHeartbeatTime']);

const owner = (manager: string, time: string, fieldsV1: object) => ({ manager, operation: 'Update', time, fieldsV1 });
const HEARTBEAT = {
  'f:status': { 'f:conditions': { 'k:{"type":"Ready"}': { 'f:lastHeartbeatTime': {} } } },
};
const ALL = {
  'f:status': { 'f:conditions': { 'k:{"type":"Ready"}': { '.': {}, 'f:lastHeartbeatTime': {}, 'f:status': {} } } },
};
const REST = { 'f:status': { 'f:conditions': { 'k:{"type":"Ready"}': { '.': {}, 'f:status': {} } } } };
const LABELS = { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } } };

const node = (beat: string, managedFields: readonly object[], status = 'True') => ({
  metadata: { name: 'n', resourceVersion: beat, managedFields },
  status: { conditions: [{ type: 'Ready', status, lastHeartbeatTime: beat }] },
});

describe('an update of nothing but heartbeats', () => {
  it.each([
    ['a beat', node('1', [owner('a', '1', ALL)]), node('2', [owner('a', '2', ALL)]), true],
    ['no change', node('1', []), node('1', []), true],
    ['a change beside it', node('1', []), node('2', [], 'False'), false],
    [
      'a beat of a new owner',
      node('1', [owner('a', '1', ALL)]),
      node('2', [owner('a', '1', REST), owner('b', '2', HEARTBEAT)]),
      true,
    ],
    [
      'a new owner of something else',
      node('1', [owner('a', '1', ALL)]),
      node('2', [owner('a', '1', ALL), owner('b', '2', LABELS)]),
      false,
    ],
    [
      'an owner who is gone',
      node('1', [owner('a', '1', ALL), owner('b', '1', LABELS)]),
      node('2', [owner('a', '2', ALL)]),
      false,
    ],
    [
      'another way of owning',
      node('1', [owner('a', '1', ALL)]),
      node('2', [{ ...owner('a', '2', ALL), operation: 'Apply' }]),
      false,
    ],
  ])('%s', (_what, old, object, expected) => {
    expect(isVolatile(old, object)).toBe(expected);
  });
});
