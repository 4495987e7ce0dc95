import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Snapshot, StoredObject } from '../../../store/store.ts';
import { storageKey, storagePrefixOf } from '../../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import type { AdmissionTarget } from '../admission-plugin.ts';
import type { ParamKind, ParamRef } from './policy-index.ts';
import { PolicyConfigurationError, readParam } from './policy-objects.ts';

export interface ParamQuestion {
  readonly paramKind: ParamKind | undefined;
  readonly paramRef: ParamRef | undefined;
  readonly target: AdmissionTarget;
  readonly snapshot: Snapshot;
}

/**
 * The objects with which a policy is asked, once for each. Undefined stands for "without params". An empty list: none are there, and
 * the binding says that this is fine. Throws PolicyConfigurationError.
 */
export function collectParams({ paramKind, paramRef, target, snapshot }: ParamQuestion): (KubeObject | undefined)[] {
  if (paramKind === undefined || paramRef === undefined) return [undefined];
  const definition = findParamKind(paramKind, target.objects?.catalog.definitions ?? []);
  if (definition === undefined) {
    throw new PolicyConfigurationError(`paramKind kind \`${describe(paramKind)}\` not known`);
  }
  const namespace = namespaceOf(definition, paramRef, target);
  const found = [...findParams(definition, paramRef, { namespace, snapshot })];
  if (found.length === 0 && paramRef.parameterNotFoundAction === 'Deny') {
    throw new PolicyConfigurationError('no params found for policy binding with `Deny` parameterNotFoundAction');
  }
  return found.map((stored) => readParam(definition, stored));
}

const describe = ({ apiVersion, kind }: ParamKind): string => `&ParamKind{APIVersion:${apiVersion},Kind:${kind},}`;

/** The kind that a `paramKind` names, undefined where nobody serves it. */
export function findParamKind(
  { apiVersion, kind }: ParamKind,
  definitions: readonly ResourceDefinition[],
): ResourceDefinition | undefined {
  const slash = apiVersion.indexOf('/');
  const [group, version] = slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
  return definitions.find(
    (one) => one.kind === kind && one.group === group && one.version === version && one.verbs.includes('get'),
  );
}

function namespaceOf(definition: ResourceDefinition, paramRef: ParamRef, target: AdmissionTarget): string {
  const wanted = paramRef.namespace ?? '';
  if (!definition.namespaced) {
    if (wanted === '') return '';
    throw new PolicyConfigurationError('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
  }
  if (wanted !== '') return wanted;
  if (target.namespace !== '') return target.namespace;
  throw new PolicyConfigurationError(
    'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources',
  );
}

function* findParams(
  definition: ResourceDefinition,
  { name = '', selector }: ParamRef,
  { namespace, snapshot }: { readonly namespace: string; readonly snapshot: Snapshot },
): Iterable<StoredObject> {
  if (name !== '') {
    const found = snapshot.get(storageKey(definition, namespace, name));
    if (found !== undefined) yield found;
    return;
  }
  const wanted = labelSelectorFrom((selector ?? {}) as LabelSelectorObject);
  for (const stored of snapshot.range(storagePrefixOf(definition, namespace))) {
    if (wanted.matches(stored.labels)) yield stored;
  }
}
