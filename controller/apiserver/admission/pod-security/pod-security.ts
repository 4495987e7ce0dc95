import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { forbidden } from '#api/object/api-error.ts';
import { type FieldError, invalidObject } from '#api/object/field-error.ts';
import type { Namespace, Pod } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionTarget } from '../admission-plugin.ts';
import type { PodShape } from './check.ts';
import { evaluatePod, renderDetails } from './evaluate.ts';
import { warnOfExistingPods } from './existing-pods.ts';
import { compareLevels, isSameLevel, type LevelVersion, parsePolicy, renderLevel } from './levels.ts';
import { isSignificantUpdate } from './significant-update.ts';

/** Subresources of pods that cannot change what a pod may do. */
const HARMLESS_SUBRESOURCES = ['attach', 'binding', 'eviction', 'exec', 'log', 'portforward', 'proxy', 'status'];

/** Where each kind that makes pods keeps its template. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  '/podtemplates': ['template'],
  '/replicationcontrollers': ['spec', 'template'],
  'apps/daemonsets': ['spec', 'template'],
  'apps/deployments': ['spec', 'template'],
  'apps/replicasets': ['spec', 'template'],
  'apps/statefulsets': ['spec', 'template'],
  'batch/cronjobs': ['spec', 'jobTemplate', 'spec', 'template'],
  'batch/jobs': ['spec', 'template'],
};

const kindOf = ({ resource }: AdmissionTarget): string => `${resource.group}/${resource.resource}`;

const isWrite = ({ operation }: AdmissionTarget): boolean => operation === 'CREATE' || operation === 'UPDATE';

function handles(target: AdmissionTarget): boolean {
  if (!isWrite(target)) return false;
  const kind = kindOf(target);
  if (kind === '/pods') return !HARMLESS_SUBRESOURCES.includes(target.subresource);
  return target.subresource === '' && (kind === '/namespaces' || TEMPLATES[kind] !== undefined);
}

interface Template {
  readonly metadata?: KubeObject['metadata'];
  readonly spec?: IPodSpec;
}

const shapeOf = ({ metadata, spec }: Template): PodShape | undefined =>
  spec === undefined ? undefined : { annotations: metadata?.annotations ?? {}, spec };

function templateOf(request: AdmissionRequest): Template | undefined {
  let part: unknown = request.object;
  for (const field of TEMPLATES[kindOf(request)] ?? []) part = (part as Record<string, unknown> | undefined)?.[field];
  return part as Template | undefined;
}

/** Pod Security Standards as a namespace's labels ask for them: pods are refused, what makes pods is warned of, both are noted in the audit log. */
export function podSecurity({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  return {
    name: 'PodSecurity',
    handles,
    validate(request) {
      if (kindOf(request) === '/namespaces') return judgeNamespace(request, store);
      const found = store.snapshot().get(`/registry/namespaces/${request.namespace}`)?.object();
      const { policy, errors } = parsePolicy((found as Namespace | undefined)?.metadata.labels);
      const isPod = kindOf(request) === '/pods';
      const levels = [policy.audit, policy.warn, ...(isPod ? [policy.enforce] : [])];
      if (levels.every(({ level }) => level === 'privileged')) return;
      if (isPod && request.operation === 'UPDATE' && !isSignificantUpdate(podOf(request), oldPodOf(request))) return;
      const shape = shapeOf((isPod ? request.object : templateOf(request)) as Template);
      if (shape === undefined) return;
      noteErrors(request, errors);
      if (isPod) enforce(request, policy.enforce, shape);
      tell(request, policy, shape);
    },
  };
}

const podOf = ({ object }: AdmissionRequest) => object as unknown as Pod;
const oldPodOf = ({ oldObject }: AdmissionRequest) => oldObject as unknown as Pod;

function annotate({ context }: AdmissionRequest, key: string, value: string): void {
  context.auditAnnotations[`pod-security.kubernetes.io/${key}`] = value;
}

function noteErrors(request: AdmissionRequest, errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  const shown = errors.map(({ field, message }) => `${field}: ${message}`).join(', ');
  annotate(request, 'error', `Failed to parse policy: ${shown}`);
}

function enforce(request: AdmissionRequest, level: LevelVersion, shape: PodShape): void {
  annotate(request, 'enforce-policy', renderLevel(level));
  const violations = evaluatePod(level, shape);
  if (violations.length === 0) return;
  const why = `violates PodSecurity ${JSON.stringify(renderLevel(level))}: ${renderDetails(violations)}`;
  throw forbidden(request.resource, request.name, why);
}

function tell(
  request: AdmissionRequest,
  { audit, warn }: { readonly audit: LevelVersion; readonly warn: LevelVersion },
  shape: PodShape,
): void {
  const message = (level: LevelVersion): string | undefined => {
    const violations = evaluatePod(level, shape);
    if (violations.length === 0) return undefined;
    return `would violate PodSecurity ${JSON.stringify(renderLevel(level))}: ${renderDetails(violations)}`;
  };
  const audited = message(audit);
  if (audited !== undefined) annotate(request, 'audit-violations', audited);
  const warned = message(warn);
  if (warned !== undefined) warnOnce(request, warned);
}

/** Admission runs again where a write has to start over. */
function warnOnce({ context }: AdmissionRequest, warning: string): void {
  if (!context.warnings.includes(warning)) context.warnings.push(warning);
}

/** Labels that mean nothing are refused; pods that are there already and break a new rule are told of. */
function judgeNamespace(request: AdmissionRequest, store: Pick<Store, 'snapshot'>): void {
  const { object, oldObject, operation, resource, name } = request;
  const { policy, errors } = parsePolicy(object?.metadata.labels);
  const before = operation === 'CREATE' ? undefined : parsePolicy(oldObject?.metadata.labels);
  if (errors.length > 0 && JSON.stringify(errors) !== JSON.stringify(before?.errors)) {
    throw invalidObject(resource, name, errors);
  }
  const [now, old] = [policy.enforce, before?.policy.enforce];
  if (old === undefined || isSameLevel(now, old) || now.level === 'privileged') return;
  if (now.minor === old.minor && compareLevels(now.level, old.level) < 1) return;
  for (const warning of warnOfExistingPods(store.snapshot(), request.namespace, now)) warnOnce(request, warning);
}
