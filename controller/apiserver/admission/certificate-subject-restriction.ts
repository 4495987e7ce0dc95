import { forbidden } from '#api/object/api-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { BadRequestPem, parseSigningRequest } from '../../pki/certificate-builder.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';

const SIGNER = 'kubernetes.io/kube-apiserver-client';
/** Whoever is in it may do everything, whatever RBAC says, and no role can take that back. */
const SUPERUSERS = 'system:masters';

/** No request for a client certificate of the group that bypasses authorization is even stored. */
export function certificateSubjectRestriction(): AdmissionPlugin {
  return {
    name: 'CertificateSubjectRestriction',
    isAsynchronous: true,
    handles: ({ resource, operation, subresource }) =>
      operation === 'CREATE' &&
      subresource === '' &&
      resource.group === 'certificates.k8s.io' &&
      resource.resource === 'certificatesigningrequests',
    async validate({ object, resource, name }) {
      const { spec } = object as unknown as CertificateSigningRequest;
      if (spec.signerName !== SIGNER) return;
      const request = await parse(atob(spec.request));
      if (request?.subject.organizations.includes(SUPERUSERS) !== true) return;
      throw forbidden(resource, name, `use of ${SIGNER} signer with ${SUPERUSERS} group is not allowed`);
    },
  };
}

/** What is no request at all is for validation to refuse. */
async function parse(pem: string) {
  try {
    return await parseSigningRequest(pem);
  } catch (err) {
    if (err instanceof BadRequestPem) return undefined;
    throw err;
  }
}
