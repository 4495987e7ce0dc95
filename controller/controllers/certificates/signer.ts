import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { createControllerQueue, runQueue, type StartController } from '../controller-context.ts';
import type { CertificateSigner } from './certificate-signer.ts';
import { hasCertificate, hasCondition, requestPemOf, withCondition } from './request-state.ts';

const isToBeSigned = (csr: CertificateSigningRequest): boolean =>
  hasCondition(csr, 'Approved') && !hasCondition(csr, 'Denied') && !hasCondition(csr, 'Failed') && !hasCertificate(csr);

/** Signs what was approved, for the signers of this cluster's CA. Acts as certificate-controller. */
export function createCsrSigningController(signer: CertificateSigner): StartController {
  return async (context, signal) => {
    const requests = context.informers.informer<CertificateSigningRequest>(resources.certificateSigningRequests);
    const api = context.client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);

    const sync = async (key: ObjectKey): Promise<void> => {
      const csr = requests.byKey(key);
      if (csr === undefined || !isToBeSigned(csr) || !signer.signerNames.includes(csr.spec.signerName)) return;
      const outcome = await signer.sign({
        signerName: csr.spec.signerName,
        requestPem: requestPemOf(csr),
        usages: csr.spec.usages ?? [],
        expirationSeconds: csr.spec.expirationSeconds,
      });
      if ('refused' in outcome) {
        const condition = { type: 'Failed', reason: 'SignerValidationFailure', message: outcome.refused } as const;
        await api.update(withCondition(csr, condition), 'status');
        return;
      }
      const certificate = Buffer.from(outcome.certificatePem).toString('base64');
      await api.update({ ...csr, status: { ...csr.status, certificate } }, 'status');
      context.log.info('signed a certificate', { request: csr.metadata.name, signer: csr.spec.signerName });
    };
    const queue = createControllerQueue<ObjectKey>(context, { name: 'csr-signing', sync, concurrency: 2 });
    requests.addHandler({
      onAdd: (csr) => queue.add(keyOf(csr)),
      onUpdate: (_, csr) => queue.add(keyOf(csr)),
    });
    await runQueue(queue, [requests], signal);
  };
}
