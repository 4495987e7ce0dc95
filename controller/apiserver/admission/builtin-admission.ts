import type { Store } from '../../store/store.ts';
import type { RbacAuthorizer } from '../authorize/rbac-authorizer.ts';
import type { Authorizer } from '../chain/request-context.ts';
import type { AdmissionWebhooks } from '../webhooks/admission-webhooks.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';
import { certificateApproval, certificateSigning } from './certificate-requests.ts';
import { claimResize } from './claim-resize.ts';
import { defaultIngressClass, defaultStorageClass } from './default-class.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeRestriction } from './node-restriction.ts';
import { priority } from './priority.ts';
import { rbacEscalation } from './rbac-escalation.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccount } from './service-account.ts';
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
  /** What users' own policies make of a request; without it none is asked. */
  readonly policies?: { readonly mutating: AdmissionPlugin; readonly validating: AdmissionPlugin };
}

/** All built-in plug-ins, in the order in which Kubernetes runs them. */
export function builtinAdmission(deps: AdmissionDeps): readonly AdmissionPlugin[] {
  return [
    namespaceLifecycle(deps),
    serviceAccount(deps),
    nodeRestriction(deps),
    taintNodesByCondition(),
    priority(deps),
    defaultTolerationSeconds(),
    defaultStorageClass(deps),
    claimResize(deps),
    runtimeClass(deps),
    certificateApproval(deps),
    certificateSigning(deps),
    defaultIngressClass(deps),
    rbacEscalation(deps),
    // Behind all others, so that they see what will be stored and judge what all others let pass.
    ...present(deps.policies?.mutating, deps.webhooks?.mutating, deps.policies?.validating, deps.webhooks?.validating),
  ];
}

const present = (...plugins: readonly (AdmissionPlugin | undefined)[]): AdmissionPlugin[] =>
  plugins.filter((plugin) => plugin !== undefined);
