import type { FieldError } from '#api/object/field-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Snapshot, Store } from '../../store/store.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { FormattedKind, KindFormat } from './object-format.ts';
import type { ObjectView } from './object-view.ts';

/** What a strategy may look at besides the object itself. */
export interface StrategyContext {
  readonly nowMs: number;
  /** Durable state, for checks across objects; never the only guard of an invariant between two writes. */
  readonly snapshot: Snapshot;
  readonly request: RequestContext;
  readonly dryRun: boolean;
}

export interface OpenApiModels {
  /** Changes with the schemas. */
  readonly hash: string;
  /** Types of the type table that the schemas refer to. */
  readonly references: readonly string[];
  schemas(flavor: 2 | 3): Readonly<Record<string, object>>;
}

export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  /** 1 shows under `-o wide` only. */
  readonly priority: 0 | 1;
  readonly description: string;
}

/** One kind's way from request to store; the generic machinery does the rest. One file per resource in `resources/`. */
export interface ResourceDefinition extends ResourceInfo {
  readonly singular: string;
  /** `<kind>List` where absent. */
  readonly listKind?: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Prefix of its keys in the store, e.g. `/registry/pods`, `/registry/services/specs`, `/registry/minions`. */
  readonly storagePrefix: string;
  /** Verbs of the main resource, as discovery lists them. */
  readonly verbs: readonly string[];
  /** `status` is a subresource: spec writes keep the old status, status writes keep the old spec and metadata. */
  readonly hasStatus: boolean;
  /** metadata.generation is kept: 1 at creation, +1 on every change outside metadata and status. */
  readonly hasGeneration: boolean;
  readonly subresources: readonly SubresourceDefinition[];
  /** PUT to a name that does not exist creates it. */
  readonly allowCreateOnUpdate: boolean;
  /** An update without resourceVersion is allowed (last write wins). */
  readonly allowUnconditionalUpdate: boolean;
  /**
   * A delete that names no propagation policy leaves the dependents behind, as it did when these kinds were new; `warning` tells the client.
   * Undefined: the dependents go too.
   */
  readonly orphansByDefault?: { readonly warning?: string };
  /** For pods: graceful deletion. Undefined: objects go at once (finalizers aside). */
  readonly graceful?: GracefulDeletion;
  /** Valid object names of this kind; '' = valid. */
  validateName(name: string): readonly string[];
  /** Conditional defaults; plain defaults come from the type table. Changes the object in place. */
  applyDefaults(object: KubeObject): void;
  /** Clears what clients may not set at creation, sets initial status, allocates. May be asynchronous only where it allocates. */
  prepareForCreate(object: KubeObject, context: StrategyContext): void;
  /** Restores what clients may not change. `object` is the new state, changed in place; `old` is frozen. */
  prepareForUpdate(object: KubeObject, old: KubeObject, context: StrategyContext): void;
  /**
   * Findings on a whole object; run at creation and, with validateUpdate, at every update. `old` is given on updates: values of its own
   * (`===`) in the new object were found valid when they were written, and need not be looked at again.
   */
  validate(object: KubeObject, context: StrategyContext, old?: KubeObject): readonly FieldError[];
  /** Findings on a new object alone: rules that objects which are there already need not keep. */
  validateCreate(object: KubeObject, context: StrategyContext): readonly FieldError[];
  /** Immutability and transitions. */
  validateUpdate(object: KubeObject, old: KubeObject, context: StrategyContext): readonly FieldError[];
  prepareForStatusUpdate(object: KubeObject, old: KubeObject, context: StrategyContext): void;
  validateStatusUpdate(object: KubeObject, old: KubeObject, context: StrategyContext): readonly FieldError[];
  /** Warnings for deprecated or doubtful input. */
  warnings(object: KubeObject, old: KubeObject | undefined): readonly string[];
  /** Selectable fields besides metadata.name and metadata.namespace; each value a string. */
  selectableFields(object: KubeObject): Readonly<Record<string, string>>;
  /** Set for custom kinds, which the type table does not know. JSON and YAML are their only forms. */
  readonly format?: KindFormat;
  /** Aborted once another definition, or none, serves in place of this one: its watches end. */
  readonly retired?: AbortSignal;
  /** A sentence for everybody who uses this version of the kind. */
  readonly deprecationWarning?: string;
  /** OpenAPI schemas of a custom kind by name; built-in kinds have the type table's. */
  readonly openApi?: OpenApiModels;
  /** Names of selectable fields kept in an index (spec.nodeName of pods). */
  readonly indexedFields: readonly string[];
  /** Labels kept in an index: those by which controllers and users find a few objects among very many. */
  readonly indexedLabels: readonly string[];
  /** True when nothing but volatile fields (Lease renewTime, node heartbeats) differ. Both are canonical. */
  isVolatileUpdate(old: KubeObject, object: KubeObject): boolean;
  /** The whole kind is kept in memory with this time to live (Events); undefined for all others. */
  readonly volatileTtlMs: number | undefined;
  readonly columns: readonly TableColumn[];
  /** Cells in column order. */
  tableRow(object: KubeObject, nowMs: number): readonly unknown[];
  /** Runs before the store write of a create or update, outside the decide callback, after prepare; its undo runs when the write fails or it is a dry run. */
  allocate?(
    object: KubeObject,
    old: KubeObject | undefined,
    store: Store,
    context: StrategyContext,
  ): Promise<Allocation>;
  /**
   * Kinds that are questions rather than objects (SubjectAccessReview, TokenReview ...), or deeds (Binding): create answers this and
   * stores nothing of the kind.
   */
  readonly virtualCreate?: (
    object: KubeObject,
    context: RequestContext,
    others: OtherKinds,
  ) => KubeObject | Promise<KubeObject>;
  /** Kinds that nothing stores and that are found out at every read (ComponentStatus); their verbs are get and list. */
  computedObjects?(
    snapshot: Snapshot,
    nowMs: number,
    request: ComputedRequest,
  ): readonly KubeObject[] | Promise<readonly KubeObject[]>;
  /**
   * Set where this kind is another face of a stored one (events.k8s.io Events are stored as core Events): both share storagePrefix,
   * the store holds the form of `storedAs`, and every hook above sees the face's own form. Both functions are pure and may share parts.
   */
  readonly conversion?: {
    readonly storedAs: ResourceInfo & FormattedKind;
    /** True where the stored bytes are what `fromStored` would make of them. */
    isAsStored?(stored: ObjectView): boolean;
    /**
     * Set where a conversion has to wait for somebody: after `read` of its view an object can be read, after `write` it can be stored,
     * both without waiting.
     */
    readonly prepare?: {
      read(views: readonly ObjectView[]): Promise<void>;
      write(object: KubeObject): Promise<void>;
    };
    toStored(object: KubeObject): KubeObject;
    fromStored(stored: KubeObject, view?: ObjectView): KubeObject;
  };
  /** Changes the object when its deletion begins and something still holds it (Namespace phase Terminating). */
  prepareForDelete?(object: KubeObject): void;
  /** True while something besides metadata.finalizers holds a deleted object (spec.finalizers of Namespaces): it then stays, and goes with the write that answers false. */
  isHeld?(object: KubeObject): boolean;
  /** Runs after a durable delete (releases addresses). */
  afterDelete?(object: KubeObject, store: Store): void;
}

/** What of a computed kind is asked for; empty = all. What else is computed is left out by the handler. */
export interface ComputedRequest {
  readonly namespace: string;
  readonly name: string;
}

/** What a Table is made of. */
export type Tabular = Pick<ResourceDefinition, 'columns' | 'tableRow'>;

export interface Allocation {
  /** Undoes it: the write failed, or it was a dry run. */
  release(): Promise<void>;
  /** Runs after the durable write: gives back what the old object held and the new one does not. */
  commit?(): Promise<void>;
}

export interface GracefulDeletion {
  /** Seconds the object may take to die, given the request's wish; 0 = delete at once. */
  graceSeconds(object: KubeObject, requested: number | undefined): number;
}

/** A subresource with behaviour of its own (binding, eviction, token, log, exec, scale, approval ...). */
export interface SubresourceDefinition {
  readonly name: string;
  /** Verbs as discovery lists them. */
  readonly verbs: readonly string[];
  /** Kind of its body as discovery lists it, with group and version when they differ from the parent's. */
  readonly kind: FormattedKind;
  /**
   * A second face of the same object (scale): get, update and patch are served generically through these two pure functions.
   * `apply` returns the parent object changed as the face asks.
   */
  readonly face?: {
    /** Which part of the parent the face changes, hence which rules run and what is kept; `main` where absent (CSR approval: `status`). */
    readonly as?: 'main' | 'status';
    /** How it is printed; absent where the face is of the parent's kind, and printed as that. */
    readonly table?: Tabular;
    get(object: KubeObject): KubeObject;
    /** What a change begins with, where `get` may refuse an object that a change would put right. */
    beforeChange?(object: KubeObject): KubeObject;
    apply(face: KubeObject, object: KubeObject): KubeObject;
  };
  /** Leads into a container or a proxied server: admission sees a CONNECT with the options of the request as its object. */
  readonly connects?: true;
  /** Everything else. Answers through `context.response`; errors are thrown. */
  handle?(context: RequestContext, services: SubresourceServices): Promise<void>;
}

/** What subresource handlers may use; extended by the composition root. */
export interface SubresourceServices extends OtherKinds {
  readonly store: Store;
  readonly resource: ResourceDefinition;
  /** The generic update path: admission and strategy run, retried on conflict with the store's pending head. */
  updateObject(
    context: RequestContext,
    namespace: string,
    name: string,
    change: (object: KubeObject) => KubeObject,
    options?: UpdateObjectOptions,
  ): Promise<KubeObject>;
  /** The generic delete path of the parent (grace, finalizers; no admission beyond the subresource's own); answers the object as it is afterwards. */
  deleteObject(
    context: RequestContext,
    namespace: string,
    name: string,
    options?: DeleteObjectOptions,
  ): Promise<KubeObject>;
  /** The parent as it is now; 404 when there is none. */
  currentObject(): Promise<KubeObject>;
  /** Decodes the request body (JSON, YAML or protobuf, strict) as the subresource's kind; 400/415 as for the main resource. */
  readBody(context: RequestContext): Promise<KubeObject>;
  /** Encodes and sends an answer in the form the client accepts. */
  respond(context: RequestContext, status: number, object: KubeObject): void;
  readonly dialer: import('../../tunnel/dialer.ts').ClusterDialer;
  /** Mints ServiceAccount tokens. */
  readonly tokens: TokenIssuer;
}

/** Objects of other built-in kinds, for requests that concern them too. */
export interface OtherKinds {
  /** As they are now. */
  listOther(kind: ResourceInfo, namespace: string): Promise<readonly KubeObject[]>;
  /** Changes one in the server's own name, without admission; answers it as it is afterwards. */
  updateOther(context: RequestContext, kind: ResourceInfo, update: OtherUpdate): Promise<KubeObject>;
}

export interface OtherUpdate extends Pick<UpdateObjectOptions, 'as' | 'subresource' | 'dryRun'> {
  readonly namespace: string;
  readonly name: string;
  /** Decides on the newest state; must answer a private copy. What it throws is what the update throws. */
  change(object: KubeObject): KubeObject;
}

export interface UpdateObjectOptions {
  /**
   * Which part of the object the change concerns; chooses the strategy's prepare/validate pair. `raw` runs neither, separates no
   * status and writes no managedFields: the handler answers for the whole change (binding sets spec.nodeName and a condition at once).
   */
  readonly as: 'main' | 'status' | 'raw';
  readonly subresource: string;
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
}

export interface DeleteObjectOptions {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: string;
  readonly dryRun?: boolean;
}

export interface TokenIssuer {
  issue(request: TokenRequestClaims): Promise<{
    readonly token: string;
    readonly expirationTimestampMs: number;
    /** What the token was issued for when the request named none. */
    readonly audiences?: readonly string[];
  }>;
}

export interface TokenRequestClaims {
  readonly namespace: string;
  readonly serviceAccount: { readonly name: string; readonly uid: string };
  readonly boundObject:
    | {
        readonly kind: string;
        readonly apiVersion: string;
        readonly name: string;
        readonly uid: string;
        readonly nodeName?: string;
        readonly nodeUid?: string;
      }
    | undefined;
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
}
