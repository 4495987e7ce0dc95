import { randomUUID } from 'node:crypto';
import { customResourceDefinitions } from '../apiextensions/customresourcedefinitions.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import type { ExpressionCheck } from './admission/policy-expressions.ts';
import type { PortRange } from './allocation/port-range.ts';
import { apiServices } from './apiservices.ts';
import { bindings } from './bindings.ts';
import { certificateSigningRequests } from './certificatesigningrequests.ts';
import { clusterRoleBindings } from './clusterrolebindings.ts';
import { clusterRoles } from './clusterroles.ts';
import { componentStatuses } from './componentstatuses.ts';
import { configMaps } from './configmaps.ts';
import { controllerRevisions } from './controllerrevisions.ts';
import { cronJobs } from './cronjobs.ts';
import { csiDrivers } from './csidrivers.ts';
import { csiNodes } from './csinodes.ts';
import { csiStorageCapacities } from './csistoragecapacities.ts';
import { daemonSets } from './daemonsets.ts';
import { deployments } from './deployments.ts';
import { deviceClasses } from './deviceclasses.ts';
import { endpoints } from './endpoints.ts';
import { endpointSlices } from './endpointslices.ts';
import { events, eventsInEventsGroup } from './events.ts';
import { flowSchemas } from './flowschemas.ts';
import { horizontalPodAutoscalers, horizontalPodAutoscalersV1 } from './horizontalpodautoscalers.ts';
import { ingressClasses } from './ingressclasses.ts';
import { ingresses } from './ingresses.ts';
import { ipAddresses } from './ipaddresses.ts';
import { jobs } from './jobs.ts';
import { leases } from './leases.ts';
import { limitRanges } from './limitranges.ts';
import { mutatingAdmissionPolicies } from './mutatingadmissionpolicies.ts';
import { mutatingAdmissionPolicyBindings } from './mutatingadmissionpolicybindings.ts';
import { mutatingWebhookConfigurations } from './mutatingwebhookconfigurations.ts';
import { namespaces } from './namespaces.ts';
import { networkPolicies } from './networkpolicies.ts';
import { nodes } from './nodes.ts';
import { persistentVolumeClaims } from './persistentvolumeclaims.ts';
import { persistentVolumes } from './persistentvolumes.ts';
import { podDisruptionBudgets } from './poddisruptionbudgets.ts';
import { pods } from './pods.ts';
import { podTemplates } from './podtemplates.ts';
import { priorityClasses } from './priorityclasses.ts';
import { priorityLevelConfigurations } from './prioritylevelconfigurations.ts';
import { replicaSets } from './replicasets.ts';
import { replicationControllers } from './replicationcontrollers.ts';
import { resourceClaims } from './resourceclaims.ts';
import { resourceClaimTemplates } from './resourceclaimtemplates.ts';
import { resourceQuotas } from './resourcequotas.ts';
import { resourceSlices } from './resourceslices.ts';
import { roleBindings } from './rolebindings.ts';
import { roles } from './roles.ts';
import { runtimeClasses } from './runtimeclasses.ts';
import { secrets } from './secrets.ts';
import { serviceAccounts } from './serviceaccounts.ts';
import { serviceCidrs } from './servicecidrs.ts';
import { services } from './services.ts';
import { statefulSets } from './statefulsets.ts';
import { storageClasses } from './storageclasses.ts';
import { validatingAdmissionPolicies } from './validatingadmissionpolicies.ts';
import { validatingAdmissionPolicyBindings } from './validatingadmissionpolicybindings.ts';
import { validatingWebhookConfigurations } from './validatingwebhookconfigurations.ts';
import { volumeAttachments } from './volumeattachments.ts';
import { volumeAttributesClasses } from './volumeattributesclasses.ts';

export interface BuiltinResourceOptions {
  /** Ways to a pod's containers: log, exec, attach, portforward, proxy. */
  readonly podSubresources: readonly SubresourceDefinition[];
  readonly nodeSubresources: readonly SubresourceDefinition[];
  readonly serviceSubresources: readonly SubresourceDefinition[];
  /** Where cluster IPs come from; one range per family, comma-separated. */
  readonly serviceCidr: string;
  readonly nodePortRange: PortRange;
  /** Compiles the CEL expressions of webhooks and policies; without it they are taken as they are. */
  readonly checkExpressions?: ExpressionCheck;
  /** What is wrong with the store now, for ComponentStatus; absent: nothing ever is. */
  readonly storeProblem?: () => string | undefined;
  readonly nowMs?: () => number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly newUid?: () => string;
  /** A cluster IP that could not be given back after its Service was deleted; the next start repairs it. */
  readonly onReleaseError?: (err: unknown) => void;
}

/** Every kind that is built in, in discovery's order. Adding one is a file beside this one and a line here. */
export function builtinResources(options: BuiltinResourceOptions): readonly ResourceDefinition[] {
  return [
    bindings,
    componentStatuses(options.storeProblem ?? (() => undefined)),
    configMaps,
    endpoints,
    events,
    limitRanges,
    namespaces,
    nodes(options.nodeSubresources),
    persistentVolumeClaims,
    persistentVolumes,
    podTemplates,
    pods(options.podSubresources),
    replicationControllers,
    resourceQuotas,
    secrets,
    serviceAccounts,
    services({
      subresources: options.serviceSubresources,
      serviceCidr: options.serviceCidr,
      nodePortRange: options.nodePortRange,
      nowMs: options.nowMs ?? Date.now,
      random: options.random ?? Math.random,
      newUid: options.newUid ?? randomUUID,
      onReleaseError: options.onReleaseError ?? (() => {}),
    }),
    customResourceDefinitions,
    controllerRevisions,
    daemonSets,
    deployments,
    replicaSets,
    statefulSets,
    horizontalPodAutoscalers,
    horizontalPodAutoscalersV1,
    cronJobs,
    jobs,
    certificateSigningRequests,
    leases,
    endpointSlices,
    eventsInEventsGroup,
    ingressClasses,
    ingresses,
    ipAddresses,
    apiServices,
    mutatingAdmissionPolicies(options.checkExpressions),
    mutatingAdmissionPolicyBindings,
    mutatingWebhookConfigurations(options.checkExpressions),
    validatingAdmissionPolicies(options.checkExpressions),
    validatingAdmissionPolicyBindings,
    validatingWebhookConfigurations(options.checkExpressions),
    flowSchemas,
    priorityLevelConfigurations,
    networkPolicies,
    serviceCidrs,
    runtimeClasses,
    podDisruptionBudgets,
    clusterRoleBindings,
    clusterRoles,
    roleBindings,
    roles,
    priorityClasses,
    deviceClasses,
    resourceClaims,
    resourceClaimTemplates,
    resourceSlices,
    csiDrivers,
    csiNodes,
    csiStorageCapacities,
    storageClasses,
    volumeAttachments,
    volumeAttributesClasses,
  ];
}
