import type { IComponentStatus } from 'kubernetes-models/v1/ComponentStatus';
import type { Lease } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import type { Snapshot } from '../../store/store.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { nameColumn, text } from './printing/columns.ts';

type ComponentStatus = Stored<IComponentStatus>;

const LEASES = '/registry/leases/kube-system/';
/** Components that hold a lease while they work, by the name under which Kubernetes reports them. */
const LEADERS: Readonly<Record<string, string>> = {
  'controller-manager': 'kube-controller-manager',
  scheduler: 'kube-scheduler',
};

function problemOf(lease: Lease['spec'], nowMs: number): string | undefined {
  const { holderIdentity, renewTime, leaseDurationSeconds = 0 } = lease ?? {};
  if (!holderIdentity || !renewTime) return 'no instance leads';
  const lateMs = nowMs - Date.parse(renewTime) - leaseDurationSeconds * 1000;
  return lateMs > 0 ? `the lease of ${holderIdentity} ended ${Math.ceil(lateMs / 1000)}s ago` : undefined;
}

function statusOf(name: string, problem: string | undefined): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ComponentStatus',
    metadata: { name },
    conditions: [
      problem === undefined
        ? { type: 'Healthy', status: 'True', message: 'ok' }
        : { type: 'Healthy', status: 'False', error: problem },
    ],
  };
}

/** A leader is as healthy as its lease is fresh. */
function computeStatuses(snapshot: Snapshot, nowMs: number, storeProblem: string | undefined): readonly KubeObject[] {
  const leaders = Object.entries(LEADERS).map(([name, lease]) => {
    const stored = snapshot.get(`${LEASES}${lease}`)?.object() as Lease | undefined;
    return statusOf(name, problemOf(stored?.spec, nowMs));
  });
  return [...leaders, statusOf('etcd-0', storeProblem)];
}

const healthOf = ({ conditions = [] }: ComponentStatus) => conditions.find(({ type }) => type === 'Healthy');
const HEALTH_CELLS: Readonly<Record<string, string>> = { True: 'Healthy', False: 'Unhealthy' };

/** Deprecated since v1.19, yet `kubectl get cs` still asks. `storeProblem`: what is wrong with the store, whichever it is. */
export const componentStatuses = (storeProblem: () => string | undefined): ResourceDefinition =>
  defineResource<ComponentStatus>({
    group: '',
    version: 'v1',
    resource: 'componentstatuses',
    kind: 'ComponentStatus',
    namespaced: false,
    shortNames: ['cs'],
    verbs: ['get', 'list'],
    deprecationWarning: 'v1 ComponentStatus is deprecated in v1.19+',
    computedObjects: (snapshot, nowMs) => computeStatuses(snapshot, nowMs, storeProblem()),
    columns: [
      nameColumn,
      text('Status', 'Whether the component works.'),
      text('Message', 'What it says of itself.'),
      text('Error', 'What is wrong with it.'),
    ],
    tableRow: (component) => [
      component.metadata.name,
      HEALTH_CELLS[healthOf(component)?.status ?? ''] ?? 'Unknown',
      healthOf(component)?.message ?? '',
      healthOf(component)?.error ?? '',
    ],
  });
