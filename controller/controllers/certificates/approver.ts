import type { ResourceClient } from '#api/client/client.ts';
import type { CertificateSigningRequest, Node } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, type Stored } from '#api/object/kube-object.ts';
import {
  type ControllerContext,
  createControllerQueue,
  runQueue,
  type StartController,
} from '../controller-context.ts';
import { planApproval } from './approval-rules.ts';
import type { CertificateSigner } from './certificate-signer.ts';
import { isDecided, requestPemOf, withCondition } from './request-state.ts';

/** A serving request may come before the Node shows its addresses. */
const RECHECK_MS = 2000;
/** Roles may change while a request is open; at the first start they may not be there yet. */
const REASK_MS = 30_000;

const ACCESS_REVIEWS = {
  group: 'authorization.k8s.io',
  version: 'v1',
  resource: 'subjectaccessreviews',
  kind: 'SubjectAccessReview',
  namespaced: false,
} as const;

interface AccessReview {
  spec: object;
  status?: { allowed: boolean };
}

/** Whether who asked for the certificate may create this subresource of certificatesigningrequests. */
async function mayRequester(
  { client }: ControllerContext,
  csr: CertificateSigningRequest,
  subresource: string,
): Promise<boolean> {
  const reviews = client.resource<Stored<AccessReview>>(ACCESS_REVIEWS);
  const review = await reviews.create({
    metadata: {},
    spec: {
      user: csr.spec.username,
      uid: csr.spec.uid,
      groups: csr.spec.groups,
      extra: csr.spec.extra,
      resourceAttributes: {
        group: resources.certificateSigningRequests.group,
        resource: resources.certificateSigningRequests.resource,
        verb: 'create',
        version: '*',
        subresource,
      },
    },
  });
  return review.status?.allowed ?? false;
}

async function approve(
  api: ResourceClient<CertificateSigningRequest>,
  csr: CertificateSigningRequest,
  message: string,
) {
  await api.update(withCondition(csr, { type: 'Approved', reason: 'AutoApproved', message }), 'approval');
}

/**
 * Approves certificates of nodes: of those that join with a bootstrap token, of those that renew their own, and serving certificates for
 * names that are theirs. Everything else waits for a person. Acts as certificate-controller.
 */
export function createCsrApprover(
  signer: Pick<CertificateSigner, 'inspect' | 'problem' | 'signerNames'>,
): StartController {
  return async (context, signal) => {
    const requests = context.informers.informer<CertificateSigningRequest>(resources.certificateSigningRequests);
    const nodes = context.informers.informer<Node>(resources.nodes);
    const api = context.client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);

    const sync = async (key: ObjectKey): Promise<void> => {
      const csr = requests.byKey(key);
      if (csr === undefined || isDecided(csr) || !signer.signerNames.includes(csr.spec.signerName)) return;
      const request = await signer.inspect(requestPemOf(csr));
      // What breaks the rules is left to a person's eyes; approving it would only end in Failed.
      if (request === undefined || signer.problem(csr.spec.signerName, request, csr.spec.usages ?? []) !== undefined)
        return;
      const plan = planApproval({ csr, request, nodes: nodes.list() });
      if (plan.kind === 'approve') await approve(api, csr, plan.message);
      else if (plan.kind === 'wait') queue.addAfter(key, RECHECK_MS);
      else if (plan.kind === 'ask') {
        if (await mayRequester(context, csr, plan.subresource)) await approve(api, csr, plan.message);
        else queue.addAfter(key, REASK_MS);
      }
    };
    const queue = createControllerQueue<ObjectKey>(context, { name: 'csr-approving', sync, concurrency: 2 });
    requests.addHandler({
      onAdd: (csr) => queue.add(keyOf(csr)),
      onUpdate: (_, csr) => queue.add(keyOf(csr)),
    });
    await runQueue(queue, [requests, nodes], signal);
  };
}
