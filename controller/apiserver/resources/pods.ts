import { dns1123Label } from '#api/meta/names.ts';
import { computeQosClass } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import { podBinding } from './pod/binding.ts';
import { applyPodDefaults } from './pod/defaults.ts';
import { podEphemeralContainers } from './pod/ephemeral-containers.ts';
import { podEviction } from './pod/eviction.ts';
import { mergeLabelKeys } from './pod/label-keys.ts';
import { podColumns, podRow } from './pod/printer.ts';
import { podResize } from './pod/resize.ts';
import { validatePodStatusUpdate, validatePodUpdate } from './pod/update.ts';
import { validatePod } from './pod/validation.ts';
import { podWarnings } from './pod/warnings.ts';

function podFields({ spec, status }: Pod): Record<string, string> {
  return {
    'spec.nodeName': spec?.nodeName ?? '',
    'spec.restartPolicy': spec?.restartPolicy ?? '',
    'spec.schedulerName': spec?.schedulerName ?? '',
    'spec.serviceAccountName': spec?.serviceAccountName ?? '',
    'spec.hostNetwork': String(spec?.hostNetwork ?? false),
    'status.phase': status?.phase ?? '',
    'status.podIP': status?.podIPs?.[0]?.ip ?? status?.podIP ?? '',
    'status.podIPs': (status?.podIPs ?? []).map(({ ip }) => ip).join(','),
    'status.nominatedNodeName': status?.nominatedNodeName ?? '',
  };
}

/** Pods with gates wait for them before the scheduler looks; everybody can see that from the first moment. */
function initialStatus(pod: Pod): Pod['status'] {
  const qosClass = computeQosClass({ ...pod.spec, containers: pod.spec?.containers ?? [] });
  if ((pod.spec?.schedulingGates ?? []).length === 0) return { phase: 'Pending', qosClass };
  return {
    phase: 'Pending',
    qosClass,
    conditions: [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'SchedulingGated',
        message: 'Scheduling is blocked due to non-empty scheduling gates',
      },
    ],
  };
}

type Status = NonNullable<Pod['status']>;

/** Clients that do not know the field must not take back what others have seen. */
function keepObservedGenerations(status: Status, old: Status | undefined): void {
  status.observedGeneration ||= old?.observedGeneration;
  const known = [...(old?.conditions ?? [])];
  for (const condition of status.conditions ?? []) {
    const i = known.findIndex(({ type }) => type === condition.type);
    // Types may occur twice: each old condition stands for one new one.
    const [before] = i < 0 ? [] : known.splice(i, 1);
    condition.observedGeneration ||= before?.observedGeneration;
  }
}

function newPodWarnings(pod: Pod): string[] {
  const why = dns1123Label(pod.metadata.name);
  const advice = `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${why.join(' ')}]`;
  return [...(why.length === 0 ? [] : [advice]), ...podWarnings(pod)];
}

/** The grace an object's own spec gives it; nothing to wait for before it reached a node or after it ended. */
function graceSeconds(pod: Pod, requested: number | undefined): number {
  const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  if (!pod.spec?.nodeName || isOver) return 0;
  const seconds = requested ?? pod.spec.terminationGracePeriodSeconds ?? 30;
  return seconds < 0 ? 1 : seconds;
}

/** `subresources`: what needs a way to the node (log, exec, attach, portforward, proxy). */
export function pods(subresources: readonly SubresourceDefinition[]): ResourceDefinition {
  return defineResource<Pod>({
    group: '',
    version: 'v1',
    resource: 'pods',
    kind: 'Pod',
    namespaced: true,
    shortNames: ['po'],
    categories: ['all'],
    hasStatus: true,
    hasGeneration: true,
    subresources: [podBinding, podEphemeralContainers, podEviction, podResize, ...subresources],
    graceful: { graceSeconds: (object, requested) => graceSeconds(object as unknown as Pod, requested) },
    applyDefaults: applyPodDefaults,
    prepareForCreate(pod) {
      applyPodDefaults(pod);
      // A grace below zero has never meant anything but the shortest one.
      if (pod.spec !== undefined && (pod.spec.terminationGracePeriodSeconds ?? 0) < 0) {
        pod.spec.terminationGracePeriodSeconds = 1;
      }
      mergeLabelKeys(pod);
      pod.status = initialStatus(pod);
    },
    prepareForStatusUpdate(pod, old) {
      // The class was decided at creation; clients that build a status from nothing leave it out.
      if (pod.status === undefined) return;
      pod.status.qosClass ??= old.status?.qosClass;
      keepObservedGenerations(pod.status, old.status);
    },
    // Nobody reads the warnings of those who update pods: programs do.
    warnings: (pod, old) => (old === undefined ? newPodWarnings(pod) : []),
    validate: validatePod,
    validateUpdate: (pod, old, { request }) => validatePodUpdate(pod, old, request.info.subresource),
    validateStatusUpdate: validatePodStatusUpdate,
    selectableFields: podFields,
    indexedFields: ['spec.nodeName'],
    indexedLabels: ['app', 'app.kubernetes.io/name', 'app.kubernetes.io/instance', 'k8s-app', 'pod-template-hash'],
    columns: podColumns,
    tableRow: podRow,
  });
}
