import type { GroupVersionKind } from '../object/group-version.ts';

/** How one value is written in JSON and in protobuf. */
export type ValueKind =
  | 'string'
  | 'bool'
  | 'int32'
  | 'int64'
  | 'double'
  /** base64 in JSON. */
  | 'bytes'
  /** Canonical decimal or binary-suffix string; a JSON number is accepted. */
  | 'quantity'
  /** RFC 3339, whole seconds. */
  | 'time'
  /** RFC 3339 with six decimals. */
  | 'microTime'
  /** `metav1.Duration`: Go duration string. */
  | 'duration'
  | 'intOrString'
  /** The values of `map[string]ExtraValue`: a list of strings, a message of its own in protobuf. */
  | 'stringList'
  /** A nested object: `FieldDef.type` describes it. */
  | 'message'
  /** Any JSON: RawExtension, FieldsV1, CRD `x-kubernetes-preserve-unknown-fields`. `type` names a JSON union's protobuf message. */
  | 'json';

/**
 * When the canonical form leaves a field out. `zero`: a plain Go value with omitempty (0, "", false, empty list or map);
 * `nil`: a pointer, left out only when absent; `never`: no omitempty, always written (lists and maps as null when absent are left out by us).
 */
export type OmitRule = 'zero' | 'nil' | 'never';

export type PatchStrategy = 'merge' | 'replace' | 'retainKeys';

export interface FieldDef {
  /** JSON name. */
  readonly name: string;
  /** Protobuf field number; 0 where the kind has no protobuf form. */
  readonly number: number;
  readonly kind: ValueKind;
  readonly cardinality: 'one' | 'list' | 'map';
  /** Element type of messages; resolved lazily because types refer to each other. */
  readonly type: TypeDef | undefined;
  readonly omit: OmitRule;
  readonly required: boolean;
  readonly default: unknown;
  /** Allowed values, where the schema fixes them. */
  readonly enum: readonly string[] | undefined;
  /** Server-side apply semantics (`x-kubernetes-list-type`). Lists without a declared type are atomic. */
  readonly listType: 'atomic' | 'set' | 'map' | undefined;
  readonly listMapKeys: readonly string[];
  /** `x-kubernetes-map-type` of maps and structs; undefined means granular. */
  readonly mapType: 'atomic' | 'granular' | undefined;
  /** Strategic merge patch semantics. */
  readonly patchStrategies: readonly PatchStrategy[];
  readonly patchMergeKey: string | undefined;
  /** Set where the parts of a `json` field are known all the same: the schema of a custom kind says how they are owned. */
  readonly shape?: FieldShape;
}

/**
 * How server-side apply sees a value: as one leaf, or as a container whose parts are owned one by one. Raw JSON (`deduced`) is judged by
 * its value: objects are containers, lists are leaves.
 */
export type FieldShape =
  | { readonly kind: 'leaf' }
  | { readonly kind: 'struct'; readonly type: TypeDef }
  | { readonly kind: 'map'; readonly element: FieldShape }
  | {
      readonly kind: 'keyedList';
      readonly keys: readonly ListKey[];
      readonly element: FieldShape;
      /** Go writes the list as null when absent: it is there, just empty. */
      readonly always: boolean;
    }
  | { readonly kind: 'set'; readonly always: boolean }
  | { readonly kind: 'deduced' };

export interface ListKey {
  readonly name: string;
  readonly default: unknown;
}

export interface TypeDef {
  /** For example `io.k8s.api.core.v1.PodSpec`. */
  readonly name: string;
  /** In canonical order: apiVersion, kind, metadata first, the rest by name. */
  readonly fields: ReadonlyMap<string, FieldDef>;
  /** By protobuf number. */
  readonly byNumber: ReadonlyMap<number, FieldDef>;
  /** Package-qualified protobuf message name, or undefined. */
  readonly protoName: string | undefined;
  /**
   * Go embeds some structs, so that their fields stand directly in our JSON object but inside a message in protobuf:
   * field number -> that message. The fields themselves have number 0 here. Undefined when there is none.
   */
  readonly embedded?: ReadonlyMap<number, TypeDef>;
  /** Its status is a field like any other: no subresource keeps it apart (CRDs only). */
  readonly hasPlainStatus?: boolean;
  /** Unknown fields are kept (CRDs only). */
  readonly preserveUnknown: boolean;
  readonly gvks: readonly GroupVersionKind[];
}

export interface TypeTable {
  /** The type of a served kind, `<Kind>List` included; undefined for unknown kinds. */
  typeOf(gvk: GroupVersionKind): TypeDef | undefined;
  byName(name: string): TypeDef | undefined;
}
