import type { Pod } from '#api/object/kinds.ts';
import type { LedgerRecord } from './ledger-record.ts';
import { isAlive, newestInstance, type ObservedContainer, type ObservedPod } from './observed-pod.ts';
import { allContainers, matchingRule } from './pod-spec.ts';

type Lives = Pick<LedgerRecord, 'restartAll' | 'containers'>;

/** Up to which attempt containers belong to the life before the last restart of the whole pod; -1 = there was none. */
const boundaryOf = ({ restartAll }: Lives, name: string): number => restartAll?.[name] ?? -1;

export const isOfLifeBefore = (ledger: Lives, name: string, attempt: number): boolean =>
  attempt <= boundaryOf(ledger, name);

/** It was started at least once since the last restart of the whole pod. */
export const hasRunInThisLife = (ledger: Lives, name: string): boolean =>
  ledger.containers[name]?.ran === true && !isOfLifeBefore(ledger, name, ledger.containers[name].attempt);

/** What counts of what is observed: instances of the life before are as if they had never been. */
export function presentLife(observed: ObservedPod, ledger: Lives): ObservedPod {
  if (ledger.restartAll === undefined) return observed;
  return {
    ...observed,
    containers: observed.containers.filter((one) => !isOfLifeBefore(ledger, one.name, one.attempt)),
  };
}

/** Instances of the life before that still run: until they have ended nothing of the next life may begin. */
export const survivors = (observed: ObservedPod, ledger: Lives): readonly ObservedContainer[] =>
  observed.containers.filter((one) => isAlive(one) && isOfLifeBefore(ledger, one.name, one.attempt));

/** The container ended in a way by which its rules ask for a restart of the whole pod. */
export function asksForRestartOfAll(pod: Pod, { name, state, exitCode }: ObservedContainer): boolean {
  const container = allContainers(pod).find((one) => one.name === name);
  if (state !== 'EXITED' || container === undefined) return false;
  return matchingRule(container, exitCode)?.action === 'RestartAllContainers';
}

/**
 * Where a container has just asked for it: the attempts that end with this life, by container. To be in the ledger before anything is
 * done, so that the restart is finished whatever happens meanwhile.
 */
export function beginRestartOfAll(
  pod: Pod,
  observed: ObservedPod,
  ledger: Lives,
): Readonly<Record<string, number>> | undefined {
  const containers = allContainers(pod);
  const isAsked = containers.some(({ name }) => {
    const newest = newestInstance(presentLife(observed, ledger), name);
    return newest !== undefined && asksForRestartOfAll(pod, newest);
  });
  if (!isAsked) return undefined;
  const attempts = containers.map(({ name }) => {
    const remembered = ledger.containers[name]?.ran === true ? ledger.containers[name].attempt : -1;
    return [name, Math.max(newestInstance(observed, name)?.attempt ?? -1, remembered)] as const;
  });
  return Object.fromEntries(attempts.filter(([, attempt]) => attempt >= 0));
}

/** Whether any rule of the pod could ever ask for it: only then its condition is told. */
export const couldRestartAll = (pod: Pod): boolean =>
  allContainers(pod).some(({ restartPolicyRules = [] }) =>
    restartPolicyRules.some(({ action }) => action === 'RestartAllContainers'),
  );
