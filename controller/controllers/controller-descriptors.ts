import { startAttachDetachController } from './attach-detach/attach-detach-controller.ts';
import { startTokenCleaner } from './bootstrap-token/token-cleaner.ts';
import { createCsrApprover } from './certificates/approver.ts';
import type { CertificateSigner } from './certificates/certificate-signer.ts';
import { startCsrCleaner } from './certificates/cleaner.ts';
import { createCsrSigningController } from './certificates/signer.ts';
import type { StartController } from './controller-context.ts';
import { startDeploymentController } from './deployment/deployment-controller.ts';
import { startDeviceTaintEvictionController } from './device-taint-eviction/device-taint-eviction-controller.ts';
import { startDisruptionController } from './disruption/disruption-controller.ts';
import { startEndpointsController } from './endpoints/endpoints-controller.ts';
import { startEndpointSliceController } from './endpointslice/endpointslice-controller.ts';
import { startMirroringController } from './endpointslice/mirroring-controller.ts';
import { startEphemeralVolumeController } from './ephemeral-volume/ephemeral-volume-controller.ts';
import { startGarbageCollector } from './garbage-collector/garbage-collector.ts';
import { startNamespaceController } from './namespace/namespace-controller.ts';
import { startNetworkPolicyController } from './network-policy/network-policy-controller.ts';
import { startNodeIpamController } from './node-ipam/node-ipam-controller.ts';
import { startNodeLifecycleController } from './node-lifecycle/node-lifecycle-controller.ts';
import { startTaintEvictionController } from './node-lifecycle/taint-eviction-controller.ts';
import { startPersistentVolumeBinder } from './persistent-volume/persistent-volume-binder.ts';
import { startPodGarbageCollector } from './pod-gc/pod-garbage-collector.ts';
import { startReplicaSetController } from './replicaset/replicaset-controller.ts';
import { startResourceClaimController } from './resource-claim/resource-claim-controller.ts';
import { startResourceQuotaController } from './resource-quota/resource-quota-controller.ts';
import { startRootCaPublisher } from './root-ca/root-ca-publisher.ts';
import { startServiceAccountController } from './serviceaccount/serviceaccount-controller.ts';
import { startAttributesProtectionController } from './storage-protection/attributes-protection-controller.ts';
import { startClaimProtectionController } from './storage-protection/claim-protection-controller.ts';
import { startVolumeProtectionController } from './storage-protection/volume-protection-controller.ts';

import { startVolumeExpandController } from './volume-expand/volume-expand-controller.ts';

export interface ControllerDescriptor {
  /** As in logs. */
  readonly name: string;
  /** It acts as `system:serviceaccount:kube-system:<serviceAccount>`, which holds the role `system:controller:<serviceAccount>`. */
  readonly serviceAccount: string;
  /** Who its Events are from, where that is not the name of its account. */
  readonly reportsAs?: string;
  readonly start: StartController;
}

/** Every controller that runs, in one table. `signer` holds the CA's key; without it nobody signs certificates. */
export function controllerDescriptors(signer: CertificateSigner | undefined): readonly ControllerDescriptor[] {
  return [
    { name: 'serviceaccount', serviceAccount: 'service-account-controller', start: startServiceAccountController },
    { name: 'root-ca-publisher', serviceAccount: 'root-ca-cert-publisher', start: startRootCaPublisher },
    { name: 'node-ipam', serviceAccount: 'node-controller', start: startNodeIpamController },
    { name: 'node-lifecycle', serviceAccount: 'node-controller', start: startNodeLifecycleController },
    { name: 'taint-eviction', serviceAccount: 'taint-eviction-controller', start: startTaintEvictionController },
    {
      name: 'device-taint-eviction',
      serviceAccount: 'device-taint-eviction-controller',
      start: startDeviceTaintEvictionController,
    },
    { name: 'deployment', serviceAccount: 'deployment-controller', start: startDeploymentController },
    { name: 'replicaset', serviceAccount: 'replicaset-controller', start: startReplicaSetController },
    { name: 'endpointslice', serviceAccount: 'endpointslice-controller', start: startEndpointSliceController },
    { name: 'disruption', serviceAccount: 'disruption-controller', start: startDisruptionController },
    {
      name: 'endpointslice-mirroring',
      serviceAccount: 'endpointslicemirroring-controller',
      start: startMirroringController,
    },
    { name: 'endpoints', serviceAccount: 'endpoint-controller', start: startEndpointsController },
    { name: 'namespace', serviceAccount: 'namespace-controller', start: startNamespaceController },
    { name: 'garbage-collector', serviceAccount: 'generic-garbage-collector', start: startGarbageCollector },
    { name: 'pod-gc', serviceAccount: 'pod-garbage-collector', start: startPodGarbageCollector },
    { name: 'resourcequota', serviceAccount: 'resourcequota-controller', start: startResourceQuotaController },
    {
      name: 'resourceclaim',
      serviceAccount: 'resource-claim-controller',
      reportsAs: 'resource_claim',
      start: startResourceClaimController,
    },
    {
      name: 'persistentvolume-binder',
      serviceAccount: 'persistent-volume-binder',
      reportsAs: 'persistentvolume-controller',
      start: startPersistentVolumeBinder,
    },
    { name: 'attach-detach', serviceAccount: 'attachdetach-controller', start: startAttachDetachController },
    {
      name: 'ephemeral-volume',
      serviceAccount: 'ephemeral-volume-controller',
      reportsAs: 'ephemeral_volume',
      start: startEphemeralVolumeController,
    },
    {
      name: 'persistentvolume-expander',
      serviceAccount: 'expand-controller',
      reportsAs: 'volume_expand',
      start: startVolumeExpandController,
    },
    { name: 'pvc-protection', serviceAccount: 'pvc-protection-controller', start: startClaimProtectionController },
    { name: 'pv-protection', serviceAccount: 'pv-protection-controller', start: startVolumeProtectionController },
    { name: 'networkpolicy', serviceAccount: 'network-policy-controller', start: startNetworkPolicyController },
    {
      name: 'vac-protection',
      serviceAccount: 'volumeattributesclass-protection-controller',
      start: startAttributesProtectionController,
    },
    { name: 'token-cleaner', serviceAccount: 'token-cleaner', start: startTokenCleaner },
    { name: 'csr-cleaner', serviceAccount: 'certificate-controller', start: startCsrCleaner },
    ...(signer === undefined ? [] : certificateDescriptors(signer)),
  ];
}

function certificateDescriptors(signer: CertificateSigner): readonly ControllerDescriptor[] {
  const serviceAccount = 'certificate-controller';
  return [
    { name: 'csr-approving', serviceAccount, start: createCsrApprover(signer) },
    { name: 'csr-signing', serviceAccount, start: createCsrSigningController(signer) },
  ];
}
