import type { KubeClient } from '#api/client/client.ts';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import type { ClusterRole } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../store/store.ts';
import type { PolicyRule } from './rule-resolver.ts';
import { mirrorPrefix, namesOfKey } from './store-mirror.ts';

/** Rules of an aggregated role: those of the roles its selectors pick, by name, each once. Undefined when the role does not aggregate. */
export function computeAggregatedRules(role: ClusterRole, all: Iterable<ClusterRole>): PolicyRule[] | undefined {
  const selectors = role.aggregationRule?.clusterRoleSelectors;
  if (selectors === undefined) return undefined;
  const rules = new Map<string, PolicyRule>();
  const sorted = [...all].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const selector of selectors.map(labelSelectorFrom)) {
    for (const other of sorted) {
      if (other.metadata.name === role.metadata.name || !selector.matches(other.metadata.labels ?? {})) continue;
      for (const rule of other.rules ?? []) rules.set(JSON.stringify(rule), rule);
    }
  }
  return [...rules.values()];
}

export interface AggregationDeps {
  readonly store: Store;
  /** Acts as system:serviceaccount:kube-system:clusterrole-aggregation-controller. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

const PREFIX = '/registry/clusterroles/';
/** Changes are collected so long: a helm chart brings several roles at once. */
const SETTLE_MS = 200;
const RETRY_MS = 5000;

/** Keeps the rules of aggregated ClusterRoles (admin, edit, view and users' own) up to date. The returned function stops it. */
export function startClusterRoleAggregation({ store, client, clock, log }: AggregationDeps): () => void {
  const roles = new Map<string, ClusterRole>();
  let cancelTimer: (() => void) | undefined;
  let running = false;
  let stopped = false;

  let isDirty = false;

  const schedule = (delayMs: number): void => {
    isDirty = true;
    if (!stopped && !running) cancelTimer ??= clock.after(delayMs, () => void sync());
  };
  const sync = async (): Promise<void> => {
    cancelTimer = undefined;
    running = true;
    isDirty = false;
    let retryMs = SETTLE_MS;
    try {
      await writeAggregates(client, roles);
    } catch (err) {
      log.warn('aggregating ClusterRoles failed, trying again', { err });
      isDirty = true;
      retryMs = RETRY_MS;
    } finally {
      running = false;
    }
    if (isDirty) schedule(retryMs);
  };
  const stopMirror = mirrorPrefix(store, PREFIX, {
    onPut: (stored) => {
      const role = stored.object() as ClusterRole;
      roles.set(role.metadata.name, role);
      schedule(SETTLE_MS);
    },
    onDelete: ({ key }) => {
      roles.delete(namesOfKey(key, PREFIX).name);
      schedule(SETTLE_MS);
    },
    onReset: () => roles.clear(),
  });
  return () => {
    stopped = true;
    stopMirror();
    cancelTimer?.();
  };
}

/** A conflict or a lost role shows up as another change; so do the levels (admin from edit from view), which settle pass by pass. */
async function writeAggregates(client: KubeClient, roles: ReadonlyMap<string, ClusterRole>): Promise<void> {
  for (const role of [...roles.values()]) {
    const rules = computeAggregatedRules(role, roles.values());
    if (rules === undefined || JSON.stringify(rules) === JSON.stringify(role.rules ?? [])) continue;
    try {
      await client.resource<ClusterRole>(resources.clusterRoles).update({ ...role, rules });
    } catch (err) {
      if (!isConflict(err) && !isNotFound(err)) throw err;
    }
  }
}
