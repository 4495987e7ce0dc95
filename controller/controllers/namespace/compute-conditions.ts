import type { Namespace } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { RemainingContent } from './namespace-content.ts';

type Condition = NonNullable<NonNullable<Namespace['status']>['conditions']>[number];
type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

const finding = (
  type: string,
  problem: string | undefined,
  reasons: { bad: string; good: string; fine: string },
): Finding =>
  problem === undefined
    ? { type, status: 'False', reason: reasons.good, message: reasons.fine }
    : { type, status: 'True', reason: reasons.bad, message: problem };

function listCounts(counts: ReadonlyMap<string, number>, intro: string, verb: 'has' | 'in'): string | undefined {
  if (counts.size === 0) return undefined;
  const parts = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${verb} ${count} resource instances`);
  return `${intro}: ${parts.join(', ')}`;
}

/** What `kubectl describe namespace` shows of a deletion that takes its time; Kubernetes' types, reasons and words. */
export function computeNamespaceConditions(
  current: readonly Condition[],
  { counts, finalizers, failures, discoveryFailure }: RemainingContent,
  nowMs: number,
): Condition[] {
  const findings = [
    finding('NamespaceDeletionDiscoveryFailure', discoveryFailure, {
      bad: 'DiscoveryFailed',
      good: 'ResourcesDiscovered',
      fine: 'All resources successfully discovered',
    }),
    finding('NamespaceDeletionGroupVersionParsingFailure', undefined, {
      bad: 'GroupVersionParsingFailed',
      good: 'ParsedGroupVersions',
      fine: 'All legacy kube types successfully parsed',
    }),
    finding(
      'NamespaceDeletionContentFailure',
      failures.length === 0
        ? undefined
        : `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(', ')}`,
      {
        bad: 'ContentDeletionFailed',
        good: 'ContentDeleted',
        fine: 'All content successfully deleted, may be waiting on finalization',
      },
    ),
    finding('NamespaceContentRemaining', listCounts(counts, 'Some resources are remaining', 'has'), {
      bad: 'SomeResourcesRemain',
      good: 'ContentRemoved',
      fine: 'All content successfully removed',
    }),
    finding(
      'NamespaceFinalizersRemaining',
      listCounts(finalizers, 'Some content in the namespace has finalizers remaining', 'in'),
      {
        bad: 'SomeFinalizersRemain',
        good: 'ContentHasNoFinalizers',
        fine: 'All content-preserving finalizers finished',
      },
    ),
  ];
  const types = new Set(findings.map(({ type }) => type));
  return [
    ...current.filter(({ type }) => !types.has(type)),
    ...findings.map((found) => {
      const known = current.find(({ type }) => type === found.type);
      const isSame = known?.status === found.status;
      return { ...found, lastTransitionTime: isSame ? (known.lastTransitionTime ?? toTime(nowMs)) : toTime(nowMs) };
    }),
  ];
}
