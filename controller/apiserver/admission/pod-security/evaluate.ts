import { BASELINE_CHECKS } from './baseline-checks.ts';
import type { Check, CheckPod, PodShape, Violation } from './check.ts';
import type { LevelVersion } from './levels.ts';
import { RESTRICTED_CHECKS } from './restricted-checks.ts';

/** The rule of a check that holds in a minor version, undefined before the check existed. */
const ruleAt = ({ versions }: Check, minor: number): CheckPod | undefined =>
  versions.findLast(([since]) => since <= minor)?.[1];

/** Everything that a pod does which the level forbids, in the order in which Kubernetes tells it. */
export function evaluatePod({ level, minor }: LevelVersion, pod: PodShape): readonly Violation[] {
  if (level === 'privileged') return [];
  const restricted = level === 'restricted' ? RESTRICTED_CHECKS.filter((check) => ruleAt(check, minor)) : [];
  const overridden = new Set(restricted.flatMap(({ overrides = [] }) => overrides));
  const checks = [...BASELINE_CHECKS.filter(({ id }) => !overridden.has(id)), ...restricted];
  return checks.flatMap((check) => ruleAt(check, minor)?.(pod) ?? []);
}

/** `host namespaces (hostNetwork=true), privileged (container "c" must not ...)`. */
export const renderDetails = (violations: readonly Violation[]): string =>
  violations.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');

export const renderReasons = (violations: readonly Violation[]): string =>
  violations.map(({ reason }) => reason).join(', ');
