import { expect, it } from 'vitest';
import { toMicroTime } from '#base/clock.ts';
import { nodeFindings } from './doctor-nodes.ts';

const NOW_MS = Date.UTC(2026, 5, 1);
const MESSAGE = 'a second host, at 10.0.0.2, has the identity of node a';

interface State {
  readonly ready?: string;
  readonly nodeAheadMs?: number;
  readonly localAheadMs?: number;
  readonly copied?: boolean;
}

const findingsOf = ({ ready = 'True', nodeAheadMs = 0, localAheadMs = 0, copied = false }: State) => {
  const condition = { type: 'Ready', status: ready, lastTransitionTime: '2026-05-31T23:00:00Z', message: 'silent' };
  const renewTime = toMicroTime(NOW_MS + nodeAheadMs);
  const copy = { involvedObject: { name: 'a' }, message: MESSAGE, lastTimestamp: '2026-05-31T23:59:00Z' };
  return nodeFindings({
    nodes: [{ metadata: { name: 'a' }, status: { conditions: [condition] } }],
    leases: [{ metadata: { name: 'a' }, spec: { renewTime } }],
    copies: copied ? [copy] : [],
    serverMs: NOW_MS,
    localMs: NOW_MS + localAheadMs,
  } as unknown as Parameters<typeof nodeFindings>[0]);
};

it.each<[string, State, string[]]>([
  ['a node that is well', {}, []],
  [
    'one that is silent',
    { ready: 'Unknown', nodeAheadMs: -3_600_000 },
    ['a: not ready since 2026-05-31T23:00:00Z: silent'],
  ],
  ['one with a copy', { copied: true }, [`a: ${MESSAGE} (last seen 2026-05-31T23:59:00Z)`]],
  [
    'one in 1970',
    { nodeAheadMs: -NOW_MS },
    [`a: its clock is ${NOW_MS / 1000} s behind that of the controller: set it, by NTP for example`],
  ],
  ['one that told ten seconds ago', { nodeAheadMs: -10_000 }, []],
  [
    'one that runs ahead',
    { nodeAheadMs: 90_000 },
    ['a: its clock is 90 s ahead of that of the controller: set it, by NTP for example'],
  ],
  [
    'a wrong clock here',
    { localAheadMs: -90_000 },
    ['this host: its clock is 90 s behind the time that the controller believes'],
  ],
])('%s', (_, state, findings) => {
  expect(findingsOf(state)).toEqual(findings);
});
