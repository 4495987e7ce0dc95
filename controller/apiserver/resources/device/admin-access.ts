import type { IDeviceClaim } from 'kubernetes-models/resource.k8s.io/v1/DeviceClaim';
import { type FieldError, forbiddenField } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StrategyContext } from '../../registry/resource-definition.ts';

const LABEL = 'resource.kubernetes.io/admin-access';

/** Devices that others use are for namespaces that an administrator has marked. */
export function validateAdminAccess(
  claim: IDeviceClaim | undefined,
  { namespace, path }: { readonly namespace: string; readonly path: string },
  { snapshot }: StrategyContext,
): FieldError[] {
  const asking = (claim?.requests ?? []).flatMap(({ exactly }, i) => (exactly?.adminAccess === true ? [i] : []));
  if (asking.length === 0) return [];
  const found = snapshot.get(`/registry/namespaces/${namespace}`)?.object() as KubeObject | undefined;
  if (found?.metadata.labels?.[LABEL] === 'true') return [];
  const detail = `admin access to devices requires the \`${LABEL}: true\` label on the containing namespace`;
  return asking.map((i) => forbiddenField(`${path}.requests[${i}].adminAccess`, detail));
}
