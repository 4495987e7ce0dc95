import {
  BOOL,
  type CelType,
  DYN,
  INT,
  listOf,
  mapOf,
  type ObjectType,
  objectType,
  STRING,
  TIMESTAMP,
} from '../../cel/types/cel-type.ts';

const TEXTS = listOf(STRING);
const LABELS = mapOf(STRING, STRING);

const KIND = objectType('kubernetes.GroupVersionKind', { group: STRING, version: STRING, kind: STRING });
const RESOURCE = objectType('kubernetes.GroupVersionResource', { group: STRING, version: STRING, resource: STRING });
const USER = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: TEXTS,
  extra: mapOf(STRING, TEXTS),
});

/** `request`: the AdmissionRequest without its uid and without the objects, which are variables of their own. */
export const REQUEST_TYPE: ObjectType = objectType('kubernetes.AdmissionRequest', {
  kind: KIND,
  resource: RESOURCE,
  subResource: STRING,
  requestKind: KIND,
  requestResource: RESOURCE,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER,
  dryRun: BOOL,
  options: DYN,
});

const CONDITION = objectType('kubernetes.NamespaceCondition', {
  status: STRING,
  type: STRING,
  lastTransitionTime: TIMESTAMP,
  message: STRING,
  reason: STRING,
});

/** `namespaceObject`: what Kubernetes shows of the namespace that the object lies in. */
export const NAMESPACE_TYPE: ObjectType = objectType('kubernetes.Namespace', {
  metadata: objectType('kubernetes.NamespaceMetadata', {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: LABELS,
    annotations: LABELS,
    UID: STRING,
    creationTimestamp: TIMESTAMP,
    deletionGracePeriodSeconds: INT,
    deletionTimestamp: TIMESTAMP,
    generation: INT,
    resourceVersion: STRING,
    finalizers: TEXTS,
  }),
  spec: objectType('kubernetes.NamespaceSpec', { finalizers: TEXTS }),
  status: objectType('kubernetes.NamespaceStatus', { conditions: listOf(CONDITION), phase: STRING }),
});

const ROOT = 'Object';

/** What an ApplyConfiguration answers, and any part of it (`Object.spec.template`). Fields are checked against the schema afterwards. */
const applyType = (name: string): ObjectType => ({ kind: 'object', name, field: () => DYN });

export const JSON_PATCH_TYPE: ObjectType = objectType('JSONPatch', {
  op: STRING,
  path: STRING,
  from: STRING,
  value: DYN,
});

export const APPLY_TYPE: ObjectType = applyType(ROOT);

/** The types that mutating policies can build. */
export function patchType(name: string): ObjectType | undefined {
  if (name === JSON_PATCH_TYPE.name) return JSON_PATCH_TYPE;
  return name === ROOT || name.startsWith(`${ROOT}.`) ? applyType(name) : undefined;
}

/** `variables`: its fields become known one by one, each to those behind it. */
export function variablesType(fields: ReadonlyMap<string, CelType>): ObjectType {
  return { kind: 'object', name: 'kubernetes.variables', field: (name) => fields.get(name) };
}
