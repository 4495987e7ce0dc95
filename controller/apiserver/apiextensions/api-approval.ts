import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { CrdCondition, CustomResourceDefinition } from './custom-resource-definition.ts';

const ANNOTATION = 'api-approved.kubernetes.io';
const WHERE = 'see https://github.com/kubernetes/enhancements/pull/1111';

/** Groups that the Kubernetes community keeps for itself. */
const isProtected = (group: string) => /(?:^|\.)(?:k8s|kubernetes)\.io$/.test(group);

/** Whether a definition in a protected group says who approved it; undefined for all other groups. */
export function approvalCondition({ spec, metadata }: CustomResourceDefinition): CrdCondition | undefined {
  if (!isProtected(spec.group)) return undefined;
  const value = metadata.annotations?.[ANNOTATION] ?? '';
  const condition = (status: 'True' | 'False', reason: string, message: string): CrdCondition => ({
    type: 'KubernetesAPIApprovalPolicyConformant',
    status,
    reason,
    message,
  });
  if (value === '') {
    const message = `protected groups must have approval annotation "${ANNOTATION}", ${WHERE}`;
    return condition('False', 'MissingAnnotation', message);
  }
  if (value.startsWith('unapproved'))
    return condition('False', 'UnapprovedAnnotation', `not approved: ${JSON.stringify(value)}`);
  if (isAbsoluteUrl(value)) return condition('True', 'ApprovedAnnotation', `approved in ${value}`);
  const message = `protected groups must have approval annotation "${ANNOTATION}" with either a URL or a reason starting with "unapproved", ${WHERE}`;
  return condition('False', 'InvalidAnnotation', message);
}

function isAbsoluteUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).host !== '';
}

/** A definition that is not conformant already must not become so. */
export function approvalErrors(crd: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  const now = approvalCondition(crd);
  const field = `metadata.annotations[${ANNOTATION}]`;
  if (now === undefined || (old !== undefined && approvalCondition(old)?.reason === now.reason)) return [];
  if (now.reason === 'MissingAnnotation') return [required(field, now.message)];
  return now.reason === 'InvalidAnnotation'
    ? [invalid(field, crd.metadata.annotations?.[ANNOTATION], now.message)]
    : [];
}
