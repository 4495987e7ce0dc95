import { expect, it } from 'vitest';
import { networkVerdicts } from './network-conditions.ts';

const blocked = { reason: 'TunnelBlocked', cause: 'nothing arrives', cure: 'open the port', isDegraded: false };
const unguarded = { reason: 'NoNfTables', cause: 'no rules', cure: 'another kernel', isDegraded: true };

it.each([
  { name: 'says nothing of a network that is not ours', troubles: undefined, want: {} },
  {
    name: 'says that all is well',
    troubles: [],
    want: {
      NetworkUnavailable: { isTrue: false, reason: 'PodNetworkReady', message: 'pods reach each other on every node' },
    },
  },
  {
    name: 'names cause and cure',
    troubles: [blocked],
    want: {
      NetworkUnavailable: {
        isTrue: true,
        reason: 'TunnelBlocked',
        message: 'nothing arrives; to cure it: open the port',
      },
    },
  },
  {
    name: 'keeps no pods away for what is merely missing',
    troubles: [unguarded],
    want: {
      NetworkUnavailable: { isTrue: false, reason: 'PodNetworkReady', message: 'pods reach each other on every node' },
      NetworkDegraded: { isTrue: true, reason: 'NoNfTables', message: 'no rules; to cure it: another kernel' },
    },
  },
])('$name', ({ troubles, want }) => {
  expect(networkVerdicts(troubles)).toEqual(want);
});

it('a condition that the Node has turns false, for a patch takes none away', () => {
  expect(networkVerdicts([], true).NetworkDegraded).toEqual({
    isTrue: false,
    reason: 'NetworkWhole',
    message: 'nothing that was asked for is missing',
  });
  expect(networkVerdicts([unguarded], true).NetworkDegraded?.isTrue).toBe(true);
});
