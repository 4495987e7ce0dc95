import type { GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { TypeDef } from '#api/schema/type-table.ts';

export type TypeMetaField = 'kind' | 'apiVersion';

export interface DecodedBody {
  readonly object: KubeObject;
  /** Unknown and duplicate fields, in Kubernetes' words: `unknown field "spec.foo"`. */
  readonly problems: readonly string[];
  /** The value as the client wrote it, zero values and all: what a server-side apply owns. */
  readonly given: KubeObject;
  /** What the client left out of its object and the path filled in; undefined when it named both. */
  readonly unnamed?: readonly TypeMetaField[];
}

/** The ways of a kind that the type table does not know: a custom one. */
export interface KindFormat {
  readonly type: TypeDef;
  /** Takes ownership of `value`, which is private to the request. Throws ApiError 400. */
  decodeOwned(value: unknown): DecodedBody;
  applyDefaults(object: KubeObject): void;
  canonicalize(object: KubeObject): KubeObject;
}

/** A kind by its name, or one that brings its own format along. */
export type FormattedKind = GroupVersionKind & {
  readonly format?: KindFormat;
  /** Older API versions in which clients may send the very same thing. */
  readonly alsoSentAs?: readonly string[];
};

/** What the type table says about objects: the seam between the registry and the codec and patch modules of `api/`. */
export interface ObjectFormat {
  /** Throws for kinds that the table does not know. */
  typeOf(gvk: FormattedKind): TypeDef;
  /** Throws ApiError 400 for anything that is no object of this type. */
  decode(body: Uint8Array, mediaType: string, gvk: FormattedKind): DecodedBody;
  /** The same for a value that is decoded already (a patched document). */
  decodeValue(value: unknown, gvk: FormattedKind): DecodedBody;
  /** Plain defaults, in place. */
  applyDefaults(object: KubeObject, gvk: FormattedKind): void;
  /** A canonical copy without resourceVersion; `known` is an object in canonical form, whose parts in it need no second look. */
  canonicalize(object: KubeObject, gvk: FormattedKind, known?: KubeObject): KubeObject;
  /** A canonical object as Kubernetes' protobuf; undefined for kinds that have no such form. */
  toProtobuf(object: KubeObject, gvk: FormattedKind): Uint8Array | undefined;
}
