import type { GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { DeletionWish } from '../registry/deletion-plan.ts';
import type { ObjectFormat } from '../registry/object-format.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** What is known of a request before its objects are. */
export interface AdmissionTarget {
  readonly operation: AdmissionOperation;
  readonly resource: ResourceDefinition;
  /** '' for the main resource. */
  readonly subresource: string;
  /** For Namespaces themselves their own name, as in Kubernetes. */
  readonly namespace: string;
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly context: RequestContext;
  /** What plug-ins need to treat the objects of any kind. */
  readonly objects?: AdmissionObjects;
}

/** What a plugin sees. */
export interface AdmissionRequest extends AdmissionTarget {
  /** A private copy that mutating plugins may change in place, or put another object in the place of. */
  object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  /** Of `object` and `oldObject` where that is not the resource's own: the kind of a subresource (Scale, Binding, PodExecOptions). */
  readonly kind?: GroupVersionKind;
  /** Of a DELETE. */
  readonly deletion?: DeletionWish;
  /** Set by the first plug-in that cares, see `reinvocationOf`. */
  reinvocation?: Reinvocation;
  /** What plug-ins took for this request; given back when nothing is written after all. Set by the first one that takes something. */
  reservations?: Reservation[];
}

export interface Reservation {
  release(): Promise<void>;
}

export interface AdmissionObjects {
  readonly catalog: ResourceCatalog;
  readonly format: ObjectFormat;
}

/** A second round of the mutating plug-ins, as webhooks and policies with `reinvocationPolicy: IfNeeded` ask for it. */
export interface Reinvocation {
  /** Set in the first round: what runs before has to look again. */
  isWanted: boolean;
  /** True in the second round. There is no third. */
  isUnderWay: boolean;
  /** What each plug-in remembers of the first round, by its name. */
  readonly memory: Map<string, unknown>;
}

export function reinvocationOf(request: AdmissionRequest): Reinvocation {
  request.reinvocation ??= { isWanted: false, isUnderWay: false, memory: new Map() };
  return request.reinvocation;
}

/**
 * Mutating plugins run first, in table order, then validating ones. Refusal = thrown ApiError (403 by convention).
 *
 * Plug-ins are synchronous: they read caches, and run inside the store's decision, on the very state that is written over. Those that
 * must wait for somebody say so with `isAsynchronous` and answer with promises. Where one of them handles a request, all of admission
 * runs before the write, which then insists on the state that was admitted and otherwise starts over.
 */
export interface AdmissionPlugin {
  readonly name: string;
  readonly isAsynchronous?: boolean;
  /** Cheap: it is asked for every write. */
  handles(request: AdmissionTarget): boolean;
  admit?(request: AdmissionRequest): void | Promise<void>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}
