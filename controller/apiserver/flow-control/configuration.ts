/** The parts of FlowSchema and PriorityLevelConfiguration v1 that decide; defaults are filled in before they get here. */

export interface FlowSubject {
  readonly kind: string;
  readonly user?: { readonly name: string };
  readonly group?: { readonly name: string };
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
}

export interface FlowResourceRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly clusterScope?: boolean;
  readonly namespaces?: readonly string[];
}

export interface FlowNonResourceRule {
  readonly verbs: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

export interface FlowRule {
  readonly subjects: readonly FlowSubject[];
  readonly resourceRules?: readonly FlowResourceRule[];
  readonly nonResourceRules?: readonly FlowNonResourceRule[];
}

export interface FlowSchemaSpec {
  readonly priorityLevelConfiguration: { readonly name: string };
  readonly matchingPrecedence: number;
  readonly distinguisherMethod?: { readonly type: string };
  readonly rules?: readonly FlowRule[];
}

export interface QueuingSpec {
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

export interface PriorityLevelSpec {
  readonly type: string;
  readonly limited?: {
    readonly nominalConcurrencyShares: number;
    readonly lendablePercent?: number;
    /** Undefined: any number of seats may be borrowed. */
    readonly borrowingLimitPercent?: number;
    readonly limitResponse: { readonly type: string; readonly queuing?: QueuingSpec };
  };
  readonly exempt?: { readonly nominalConcurrencyShares?: number; readonly lendablePercent?: number };
}

/** An object with what the classification tells of it. */
export interface Configured<Spec> {
  readonly name: string;
  readonly uid: string;
  readonly spec: Spec;
}
