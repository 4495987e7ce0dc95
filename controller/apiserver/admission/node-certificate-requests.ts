import { forbidden } from '#api/object/api-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { BadRequestPem, parseSigningRequest } from '../../pki/certificate-builder.ts';
import { nodeNameOf } from '../authorize/node-identity.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';

/** By signer, what its subjects are called before the node's name. */
const PREFIXES: Readonly<Record<string, string>> = {
  'coracle.dev/netd': 'coracle:netd:',
  'kubernetes.io/kube-apiserver-client-kubelet': 'system:node:',
  'kubernetes.io/kubelet-serving': 'system:node:',
};

/** The part of NodeRestriction that has to look into a request: a node asks for certificates of its own name alone. */
export function nodeCertificateRequests(): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    isAsynchronous: true,
    handles: ({ resource, operation, subresource, user }) =>
      operation === 'CREATE' &&
      subresource === '' &&
      resource.group === 'certificates.k8s.io' &&
      resource.resource === 'certificatesigningrequests' &&
      nodeNameOf(user) !== undefined,
    async validate({ object, resource, name, user }) {
      const { spec } = object as unknown as CertificateSigningRequest;
      const prefix = Object.hasOwn(PREFIXES, spec.signerName) ? PREFIXES[spec.signerName] : undefined;
      if (prefix === undefined) return;
      const wanted = `${prefix}${nodeNameOf(user)}`;
      const commonName = await commonNameOf(atob(spec.request));
      if (commonName === undefined) throw forbidden(resource, name, 'unable to parse csr: it is no valid request');
      if (!commonName.startsWith(prefix) || commonName === wanted) return;
      throw forbidden(resource, name, `can only create a node CSR with CN=${wanted}`);
    },
  };
}

async function commonNameOf(pem: string): Promise<string | undefined> {
  try {
    return (await parseSigningRequest(pem)).subject.commonName;
  } catch (err) {
    if (err instanceof BadRequestPem) return undefined;
    throw err;
  }
}
