import type { LedgerRecord } from './ledger-record.ts';
import { specOf } from './pod-spec.ts';

const BOOT_OFFLINE_ANNOTATION = 'coracle.dev/boot-offline';

/**
 * Whether a pod may be looked after while the API cannot be asked. In the boot in which it ran, yes: it may be running this moment.
 * After another boot a replacement may have been started elsewhere meanwhile, so what must not run twice stays down: pods of a
 * StatefulSet and pods with a claim, unless their owner allowed it by annotation; and never one that was ending or had ended.
 */
export function mayRunOffline(record: LedgerRecord, bootId: string): boolean {
  if (record.bootId === bootId) return true;
  if (record.termination !== undefined || record.outcome !== undefined) return false;
  const { metadata } = record.pod;
  if (metadata.annotations?.[BOOT_OFFLINE_ANNOTATION] === 'allow') return true;
  const isOfStatefulSet = metadata.ownerReferences?.some(
    ({ kind, controller }) => controller && kind === 'StatefulSet',
  );
  // The access mode is not known here: every claim counts as ReadWriteOnce.
  const hasClaim = specOf(record.pod).volumes?.some(
    ({ persistentVolumeClaim, ephemeral }) => persistentVolumeClaim !== undefined || ephemeral !== undefined,
  );
  return !isOfStatefulSet && !hasClaim;
}
