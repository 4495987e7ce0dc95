import type { IContainer } from 'kubernetes-models/v1/Container';
import type { PodOutcome } from './ledger-record.ts';
import { newestInstance } from './observed-pod.ts';
import type { PodActionsInput } from './plan-draft.ts';
import { isSidecar, shouldRestart, specOf } from './pod-spec.ts';
import { hasRunInThisLife } from './restart-all.ts';

/** activeDeadlineSeconds counts from the pod's start time. */
export function deadlineOutcome({ pod, ledger, nowMs }: PodActionsInput): { outcome?: PodOutcome; atMs?: number } {
  const seconds = specOf(pod).activeDeadlineSeconds;
  if (seconds === undefined) return {};
  const atMs = ledger.admittedAtMs + seconds * 1000;
  if (nowMs < atMs) return { atMs };
  const message = 'Pod was active on the node longer than the specified deadline';
  return { outcome: { phase: 'Failed', reason: 'DeadlineExceeded', message } };
}

export type End = 'running' | 'succeeded' | 'failed';

/** Whether a container has ended for good, and how. An instance that vanished after it ran counts as killed (exit code 137). */
export function endOf(input: PodActionsInput, container: IContainer): End {
  const { pod, observed, ledger } = input;
  const instance = newestInstance(observed, container.name);
  if (instance === undefined) {
    const vanished = hasRunInThisLife(ledger, container.name);
    return vanished && !shouldRestart(pod, container, 137) ? 'failed' : 'running';
  }
  if (instance.state !== 'EXITED' || shouldRestart(pod, container, instance.exitCode)) return 'running';
  return instance.exitCode === 0 ? 'succeeded' : 'failed';
}

export function computeOutcome(input: PodActionsInput): PodOutcome | undefined {
  const spec = specOf(input.pod);
  const failedInit = (spec.initContainers ?? []).some(
    (container) => !isSidecar(container) && endOf(input, container) === 'failed',
  );
  const neverStarted = spec.containers.every(
    (container) => newestInstance(input.observed, container.name) === undefined,
  );
  if (failedInit && neverStarted) return { phase: 'Failed', reason: '', message: '' };
  const ends = spec.containers.map((container) => endOf(input, container));
  if (ends.length === 0 || ends.includes('running')) return undefined;
  return { phase: ends.includes('failed') ? 'Failed' : 'Succeeded', reason: '', message: '' };
}
