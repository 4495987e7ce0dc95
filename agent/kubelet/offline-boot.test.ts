import { expect, test } from 'vitest';
import type { LedgerRecord } from './ledger-record.ts';
import { mayRunOffline } from './offline-boot.ts';
import { container, podWith, recordOf } from './testing/pod-fixtures.ts';

const owner = (kind: string) => ({
  ownerReferences: [{ apiVersion: 'apps/v1', kind, name: 'x', uid: 'u', controller: true }],
});
const claim = { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] };
const allowed = { annotations: { 'coracle.dev/boot-offline': 'allow' } };
const ending: Partial<LedgerRecord> = { termination: { cause: 'deleted', startedAtMs: 0, graceSeconds: 30 } };

const cases: readonly { name: string; record: LedgerRecord; bootId?: string; expected: boolean }[] = [
  { name: 'a pod of this boot goes on', record: recordOf(podWith(claim)), bootId: 'boot-1', expected: true },
  { name: 'a plain pod boots', record: recordOf(podWith()), expected: true },
  { name: 'a pod of a ReplicaSet boots', record: recordOf(podWith({}, owner('ReplicaSet'))), expected: true },
  { name: 'a pod of a StatefulSet stays down', record: recordOf(podWith({}, owner('StatefulSet'))), expected: false },
  { name: 'a pod with a claim stays down', record: recordOf(podWith(claim)), expected: false },
  { name: 'a pod with a claim boots where it is allowed', record: recordOf(podWith(claim, allowed)), expected: true },
  { name: 'a pod that was ending stays down', record: recordOf(podWith({}, allowed), ending), expected: false },
  {
    name: 'a pod that had ended stays down',
    record: recordOf(podWith({ containers: [container('app')] }), {
      outcome: { phase: 'Succeeded', reason: '', message: '' },
    }),
    expected: false,
  },
];

test.each(cases)('$name', ({ record, bootId = 'boot-2', expected }) => {
  expect(mayRunOffline(record, bootId)).toBe(expected);
});
