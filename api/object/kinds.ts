import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IReplicaSet } from 'kubernetes-models/apps/v1/ReplicaSet';
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import type { ICronJob } from 'kubernetes-models/batch/v1/CronJob';
import type { IJob } from 'kubernetes-models/batch/v1/Job';
import type { ICertificateSigningRequest } from 'kubernetes-models/certificates.k8s.io/v1/CertificateSigningRequest';
import type { ILease } from 'kubernetes-models/coordination.k8s.io/v1/Lease';
import type { IEndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1/EndpointSlice';
import type { IIPAddress } from 'kubernetes-models/networking.k8s.io/v1/IPAddress';
import type { IServiceCIDR } from 'kubernetes-models/networking.k8s.io/v1/ServiceCIDR';
import type { IRuntimeClass } from 'kubernetes-models/node.k8s.io/v1/RuntimeClass';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IClusterRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole';
import type { IClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding';
import type { IRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Role';
import type { IRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding';
import type { IDeviceClass } from 'kubernetes-models/resource.k8s.io/v1/DeviceClass';
import type { IResourceClaim } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaim';
import type { IResourceClaimTemplate } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaimTemplate';
import type { IResourceSlice } from 'kubernetes-models/resource.k8s.io/v1/ResourceSlice';
import type { ICSIDriver } from 'kubernetes-models/storage.k8s.io/v1/CSIDriver';
import type { ICSINode } from 'kubernetes-models/storage.k8s.io/v1/CSINode';
import type { ICSIStorageCapacity } from 'kubernetes-models/storage.k8s.io/v1/CSIStorageCapacity';
import type { IStorageClass } from 'kubernetes-models/storage.k8s.io/v1/StorageClass';
import type { IVolumeAttachment } from 'kubernetes-models/storage.k8s.io/v1/VolumeAttachment';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IEndpoints } from 'kubernetes-models/v1/Endpoints';
import type { IEvent } from 'kubernetes-models/v1/Event';
import type { INamespace } from 'kubernetes-models/v1/Namespace';
import type { INode } from 'kubernetes-models/v1/Node';
import type { IPersistentVolume } from 'kubernetes-models/v1/PersistentVolume';
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodTemplate } from 'kubernetes-models/v1/PodTemplate';
import type { IReplicationController } from 'kubernetes-models/v1/ReplicationController';
import type { ISecret } from 'kubernetes-models/v1/Secret';
import type { IService } from 'kubernetes-models/v1/Service';
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import type { ResourceInfo } from './group-version.ts';
import type { Stored } from './kube-object.ts';

export type Pod = Stored<IPod>;
export type Node = Stored<INode>;
export type Namespace = Stored<INamespace>;
export type Service = Stored<IService>;
export type Endpoints = Stored<IEndpoints>;
export type EndpointSlice = Stored<IEndpointSlice>;
export type ConfigMap = Stored<IConfigMap>;
export type Secret = Stored<ISecret>;
export type ServiceAccount = Stored<IServiceAccount>;
export type Event = Stored<IEvent>;
export type Lease = Stored<ILease>;
export type Deployment = Stored<IDeployment>;
export type ReplicaSet = Stored<IReplicaSet>;
export type DaemonSet = Stored<IDaemonSet>;
export type StatefulSet = Stored<IStatefulSet>;
export type Job = Stored<IJob>;
export type CronJob = Stored<ICronJob>;
export type ReplicationController = Stored<IReplicationController>;
export type PodTemplate = Stored<IPodTemplate>;
export type PersistentVolume = Stored<IPersistentVolume>;
export type PersistentVolumeClaim = Stored<IPersistentVolumeClaim>;
export type PodDisruptionBudget = Stored<IPodDisruptionBudget>;
export type HorizontalPodAutoscaler = Stored<IHorizontalPodAutoscaler>;
export type ServiceCIDR = Stored<IServiceCIDR>;
export type IPAddress = Stored<IIPAddress>;
export type Role = Stored<IRole>;
export type RoleBinding = Stored<IRoleBinding>;
export type ClusterRole = Stored<IClusterRole>;
export type RuntimeClass = Stored<IRuntimeClass>;
export type CSIDriver = Stored<ICSIDriver>;
export type CSINode = Stored<ICSINode>;
export type CSIStorageCapacity = Stored<ICSIStorageCapacity>;
export type StorageClass = Stored<IStorageClass>;
export type VolumeAttachment = Stored<IVolumeAttachment>;
export type ClusterRoleBinding = Stored<IClusterRoleBinding>;
export type DeviceClass = Stored<IDeviceClass>;
export type ResourceClaim = Stored<IResourceClaim>;
export type ResourceClaimTemplate = Stored<IResourceClaimTemplate>;
export type ResourceSlice = Stored<IResourceSlice>;
export type CertificateSigningRequest = Stored<ICertificateSigningRequest>;

const core = (resource: string, kind: string, namespaced = true): ResourceInfo => ({
  group: '',
  version: 'v1',
  resource,
  kind,
  namespaced,
});
const grouped = (group: string, resource: string, kind: string, namespaced = true): ResourceInfo => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

/** How our own components address the built-in resources. */
export const resources = {
  pods: core('pods', 'Pod'),
  nodes: core('nodes', 'Node', false),
  namespaces: core('namespaces', 'Namespace', false),
  services: core('services', 'Service'),
  endpoints: core('endpoints', 'Endpoints'),
  configMaps: core('configmaps', 'ConfigMap'),
  secrets: core('secrets', 'Secret'),
  serviceAccounts: core('serviceaccounts', 'ServiceAccount'),
  events: core('events', 'Event'),
  resourceQuotas: core('resourcequotas', 'ResourceQuota'),
  replicationControllers: core('replicationcontrollers', 'ReplicationController'),
  persistentVolumes: core('persistentvolumes', 'PersistentVolume', false),
  persistentVolumeClaims: core('persistentvolumeclaims', 'PersistentVolumeClaim'),
  volumeAttributesClasses: grouped('storage.k8s.io', 'volumeattributesclasses', 'VolumeAttributesClass', false),
  csiDrivers: grouped('storage.k8s.io', 'csidrivers', 'CSIDriver', false),
  csiNodes: grouped('storage.k8s.io', 'csinodes', 'CSINode', false),
  csiStorageCapacities: grouped('storage.k8s.io', 'csistoragecapacities', 'CSIStorageCapacity'),
  storageClasses: grouped('storage.k8s.io', 'storageclasses', 'StorageClass', false),
  volumeAttachments: grouped('storage.k8s.io', 'volumeattachments', 'VolumeAttachment', false),
  leases: grouped('coordination.k8s.io', 'leases', 'Lease'),
  deployments: grouped('apps', 'deployments', 'Deployment'),
  replicaSets: grouped('apps', 'replicasets', 'ReplicaSet'),
  daemonSets: grouped('apps', 'daemonsets', 'DaemonSet'),
  statefulSets: grouped('apps', 'statefulsets', 'StatefulSet'),
  jobs: grouped('batch', 'jobs', 'Job'),
  cronJobs: grouped('batch', 'cronjobs', 'CronJob'),
  endpointSlices: grouped('discovery.k8s.io', 'endpointslices', 'EndpointSlice'),
  serviceCIDRs: grouped('networking.k8s.io', 'servicecidrs', 'ServiceCIDR', false),
  ipAddresses: grouped('networking.k8s.io', 'ipaddresses', 'IPAddress', false),
  roles: grouped('rbac.authorization.k8s.io', 'roles', 'Role'),
  roleBindings: grouped('rbac.authorization.k8s.io', 'rolebindings', 'RoleBinding'),
  clusterRoles: grouped('rbac.authorization.k8s.io', 'clusterroles', 'ClusterRole', false),
  clusterRoleBindings: grouped('rbac.authorization.k8s.io', 'clusterrolebindings', 'ClusterRoleBinding', false),
  podDisruptionBudgets: grouped('policy', 'poddisruptionbudgets', 'PodDisruptionBudget'),
  deviceClasses: grouped('resource.k8s.io', 'deviceclasses', 'DeviceClass', false),
  resourceClaims: grouped('resource.k8s.io', 'resourceclaims', 'ResourceClaim'),
  resourceClaimTemplates: grouped('resource.k8s.io', 'resourceclaimtemplates', 'ResourceClaimTemplate'),
  resourceSlices: grouped('resource.k8s.io', 'resourceslices', 'ResourceSlice', false),
  runtimeClasses: grouped('node.k8s.io', 'runtimeclasses', 'RuntimeClass', false),
  certificateSigningRequests: grouped(
    'certificates.k8s.io',
    'certificatesigningrequests',
    'CertificateSigningRequest',
    false,
  ),
} as const;
