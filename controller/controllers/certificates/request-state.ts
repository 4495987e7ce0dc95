import type { CertificateSigningRequest } from '#api/object/kinds.ts';

type ConditionType = 'Approved' | 'Denied' | 'Failed';

export const hasCondition = (csr: CertificateSigningRequest, type: ConditionType): boolean =>
  csr.status?.conditions?.some((condition) => condition.type === type) ?? false;

export const isDecided = (csr: CertificateSigningRequest): boolean =>
  hasCondition(csr, 'Approved') || hasCondition(csr, 'Denied');

export const requestPemOf = (csr: CertificateSigningRequest): string =>
  Buffer.from(csr.spec.request, 'base64').toString();

export const hasCertificate = (csr: CertificateSigningRequest): boolean => (csr.status?.certificate ?? '') !== '';

/** A copy with one more condition; the server stamps its times. */
export function withCondition(
  csr: CertificateSigningRequest,
  condition: { readonly type: ConditionType; readonly reason: string; readonly message: string },
): CertificateSigningRequest {
  const conditions = [...(csr.status?.conditions ?? []), { ...condition, status: 'True' as const }];
  return { ...csr, status: { ...csr.status, conditions } };
}
