import type { KubeObject } from '#api/object/kube-object.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** What a plugin sees. `object` is a private copy that mutating plugins may change in place. */
export interface AdmissionRequest {
  readonly operation: AdmissionOperation;
  readonly resource: ResourceDefinition;
  /** '' for the main resource. */
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly user: UserInfo;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly dryRun: boolean;
  readonly context: RequestContext;
}

/**
 * Mutating plugins run first, in table order, then validating ones. Both are synchronous (they read caches) unless they say otherwise;
 * updates re-run them when a write is retried. Refusal = thrown ApiError (403 by convention).
 */
export interface AdmissionPlugin {
  readonly name: string;
  handles(request: AdmissionRequest): boolean;
  admit?(request: AdmissionRequest): void;
  validate?(request: AdmissionRequest): void;
}
