import type { Pod } from '#api/object/kinds.ts';
import type { Snapshot } from '../../../store/store.ts';
import { evaluatePod, renderReasons } from './evaluate.ts';
import { type LevelVersion, renderLevel } from './levels.ts';

/** A relabelled namespace may hold very many pods, and admission keeps all writes waiting. */
const MAX_CHECKED_PODS = 3000;

/** Pods of a namespace that a new level would not let in: one line for all that break the same rules. */
export function warnOfExistingPods(snapshot: Snapshot, namespace: string, level: LevelVersion): readonly string[] {
  const prefix = `/registry/pods/${namespace}/`;
  const total = snapshot.count(prefix);
  /** Names of pods by what they break, in the order of their names. */
  const found = new Map<string, string[]>();
  let checked = 0;
  for (const stored of snapshot.range(prefix)) {
    if (checked === MAX_CHECKED_PODS) break;
    checked++;
    const { metadata, spec } = stored.object() as Pod;
    if (spec === undefined) continue;
    const violations = evaluatePod(level, { annotations: metadata.annotations ?? {}, spec });
    if (violations.length === 0) continue;
    const reasons = renderReasons(violations);
    found.set(reasons, [...(found.get(reasons) ?? []), metadata.name ?? '']);
  }
  const warnings: string[] = [];
  if (checked < total) {
    warnings.push(`new PodSecurity enforce level only checked against the first ${checked} of ${total} existing pods`);
  }
  if (found.size > 0) {
    const named = `${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${JSON.stringify(renderLevel(level))}`;
    warnings.push(`existing pods in namespace ${named}`);
  }
  return [...warnings, ...[...found].map(([reasons, names]) => `${nameSome(names)}: ${reasons}`).sort()];
}

function nameSome([first = '', ...others]: readonly string[]): string {
  if (others.length === 0) return first;
  return `${first} (and ${others.length} other ${others.length === 1 ? 'pod' : 'pods'})`;
}
