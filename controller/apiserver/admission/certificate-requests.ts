import { forbidden } from '#api/object/api-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { resourceAttributes } from '../authorize/attributes.ts';
import type { Authorizer, UserInfo } from '../chain/request-context.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';

const GROUP = 'certificates.k8s.io';
const RESOURCE = { group: GROUP, resource: 'certificatesigningrequests' };

const concerns = (subresource: string) => (request: AdmissionRequest) =>
  request.resource.group === GROUP &&
  request.resource.resource === RESOURCE.resource &&
  request.subresource === subresource &&
  request.operation === 'UPDATE';

/** Rights on a signer may be given by its full name or for all signers of its domain (`example.com/*`). */
function isAllowedForSigner(
  authorizer: Authorizer,
  user: UserInfo,
  { verb, signerName }: { readonly verb: string; readonly signerName: string },
): boolean {
  const names = [signerName, `${signerName.split('/')[0]}/*`];
  return names.some(
    (name) =>
      authorizer.authorize(resourceAttributes(user, { verb, group: GROUP, resource: 'signers', name })).decision ===
      'allow',
  );
}

function requireVerb(authorizer: Authorizer, verb: string, { user, name, oldObject }: AdmissionRequest): void {
  // The stored request decides: signerName is immutable, but the new object is what the client sent.
  const signerName = (oldObject as unknown as CertificateSigningRequest | undefined)?.spec.signerName ?? '';
  if (isAllowedForSigner(authorizer, user, { verb, signerName })) return;
  throw forbidden(
    RESOURCE,
    name,
    `user not permitted to ${verb} requests with signerName ${JSON.stringify(signerName)}`,
  );
}

/** Who approves or denies must hold `approve` on the signer, besides the right to write the subresource. */
export function certificateApproval({ authorizer }: { readonly authorizer: Authorizer }): AdmissionPlugin {
  return {
    name: 'CertificateApproval',
    handles: concerns('approval'),
    validate: (request) => requireVerb(authorizer, 'approve', request),
  };
}

/** Who puts a certificate into the status must hold `sign` on the signer. */
export function certificateSigning({ authorizer }: { readonly authorizer: Authorizer }): AdmissionPlugin {
  return {
    name: 'CertificateSigning',
    handles: concerns('status'),
    validate(request) {
      const before = (request.oldObject as unknown as CertificateSigningRequest | undefined)?.status;
      const after = (request.object as unknown as CertificateSigningRequest | undefined)?.status;
      if (before?.certificate === after?.certificate && sameConditions(before, after)) return;
      requireVerb(authorizer, 'sign', request);
    },
  };
}

type CsrStatus = CertificateSigningRequest['status'];

const sameConditions = (before: CsrStatus, after: CsrStatus): boolean =>
  JSON.stringify(before?.conditions ?? []) === JSON.stringify(after?.conditions ?? []);
