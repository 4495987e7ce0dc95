import type { IContainerStatus } from 'kubernetes-models/v1/ContainerStatus';
import type { Pod } from '#api/object/kinds.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { findContainer, isSidecar, shouldRestart, specOf } from '../pod-spec.ts';
import { isOfLifeBefore } from '../restart-all.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** The phase from container states, by Kubernetes' rules. Once a pod has ended it stays so. */
export function computePhase(
  pod: Pod,
  initStatuses: readonly IContainerStatus[],
  statuses: readonly IContainerStatus[],
  ledger: Pick<LedgerRecord, 'outcome' | 'terminatedAtMs' | 'restartAll' | 'containers'>,
): Phase {
  const { outcome, terminatedAtMs } = ledger;
  if (outcome !== undefined) return outcome.phase;
  const init = initStatuses.filter(({ name }) => {
    const container = findContainer(pod, name);
    return container === undefined || !isSidecar(container);
  });
  const isBegun =
    ledger.restartAll !== undefined ||
    statuses.some(({ state, restartCount }) => state?.waiting === undefined || (restartCount ?? 0) > 0);
  const pendingInit = init.some(({ state }) => state?.terminated?.exitCode !== 0);
  if (pendingInit && !isBegun && terminatedAtMs === undefined) {
    const isFailed = init.some(({ state }) => state?.terminated !== undefined && state.terminated.exitCode !== 0);
    return isFailed && !init.some((status) => willRestart(pod, status)) ? 'Failed' : 'Pending';
  }
  const waiting = statuses.filter(({ state, lastState }) => state?.waiting && !lastState?.terminated).length;
  const running = statuses.filter(({ state }) => state?.running).length;
  const ended = statuses.flatMap(
    ({ state, lastState }) => state?.terminated ?? (state?.waiting && lastState?.terminated) ?? [],
  );
  // A pod that was ended from outside does not come back, whatever its policy.
  if (terminatedAtMs !== undefined && running === 0)
    return ended.length === statuses.length && ended.every(({ exitCode }) => exitCode === 0) ? 'Succeeded' : 'Failed';
  if (waiting > 0) return 'Pending';
  if (running > 0) return 'Running';
  if (ended.length < specOf(pod).containers.length || ended.length === 0) return 'Pending';
  const isToReturn = ({ name, restartCount }: IContainerStatus) => isOfLifeBefore(ledger, name, restartCount ?? 0);
  if (statuses.some((status) => willRestart(pod, status) || isToReturn(status))) return 'Running';
  return ended.every(({ exitCode }) => exitCode === 0) ? 'Succeeded' : 'Failed';
}

/** By the rules of the container itself, where it has any, or of its pod. */
function willRestart(pod: Pod, { name, state, lastState }: IContainerStatus): boolean {
  const exitCode = (state?.terminated ?? lastState?.terminated)?.exitCode;
  const container = findContainer(pod, name);
  return container !== undefined && exitCode !== undefined && shouldRestart(pod, container, exitCode);
}
