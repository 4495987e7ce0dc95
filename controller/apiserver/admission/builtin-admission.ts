import type { Store } from '../../store/store.ts';
import type { RbacAuthorizer } from '../authorize/rbac-authorizer.ts';
import type { Authorizer } from '../chain/request-context.ts';
import type { AdmissionWebhooks } from '../webhooks/admission-webhooks.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';
import { certificateApproval, certificateSigning } from './certificate-requests.ts';
import { certificateSubjectRestriction } from './certificate-subject-restriction.ts';
import { claimResize } from './claim-resize.ts';
import { defaultIngressClass, defaultStorageClass } from './default-class.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeCertificateRequests } from './node-certificate-requests.ts';
import { nodeRestriction } from './node-restriction.ts';
import { podSecurity } from './pod-security/pod-security.ts';
import { policyParams } from './policy-params.ts';
import { priority } from './priority.ts';
import { rbacEscalation } from './rbac-escalation.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccount } from './service-account.ts';
import { storageObjectInUseProtection } from './storage-object-in-use-protection.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';

export interface AdmissionDeps {
  readonly store: Store;
  /** The one that the chain asks. */
  readonly authorizer: Authorizer;
  readonly rbac: Pick<RbacAuthorizer, 'rulesFor'>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** What users' own webhooks make of a request; without it none is asked. */
  readonly webhooks?: Pick<AdmissionWebhooks, 'mutating' | 'validating'>;
  /** Counts what namespaces with quotas use; without it nobody does. */
  readonly quota?: AdmissionPlugin;
  /** What users' own policies make of a request; without it none is asked. */
  readonly policies?: { readonly mutating: AdmissionPlugin; readonly validating: AdmissionPlugin };
}

/** All built-in plug-ins, in the order in which Kubernetes runs them. */
export function builtinAdmission(deps: AdmissionDeps): readonly AdmissionPlugin[] {
  return [
    namespaceLifecycle(deps),
    limitRanger(deps),
    serviceAccount(deps),
    nodeRestriction(deps),
    nodeCertificateRequests(),
    taintNodesByCondition(),
    podSecurity(deps),
    priority(deps),
    defaultTolerationSeconds(),
    defaultStorageClass(deps),
    storageObjectInUseProtection(),
    claimResize(deps),
    runtimeClass(deps),
    certificateApproval(deps),
    certificateSigning(deps),
    certificateSubjectRestriction(),
    defaultIngressClass(deps),
    // In Kubernetes these two are rules of the registry.
    rbacEscalation(deps),
    policyParams(deps),
    // Behind all others, so that they see what will be stored and judge what all others let pass.
    ...present(deps.policies?.mutating, deps.webhooks?.mutating, deps.policies?.validating, deps.webhooks?.validating),
    // The last: what it charges for is then as good as written.
    ...present(deps.quota),
  ];
}

const present = (...plugins: readonly (AdmissionPlugin | undefined)[]): AdmissionPlugin[] =>
  plugins.filter((plugin) => plugin !== undefined);
