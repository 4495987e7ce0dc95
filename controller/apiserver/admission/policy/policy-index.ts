import type { Store } from '../../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../../authorize/store-mirror.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { isExemptFromAdmission } from '../../webhooks/webhook-configurations.ts';
import type { AdmissionTarget } from '../admission-plugin.ts';
import { type MatchResources, matchesRules, readMatchResources, type StoredMatchResources } from './match-resources.ts';

export interface ParamKind {
  readonly apiVersion: string;
  readonly kind: string;
}

export interface ParamRef {
  readonly name?: string;
  readonly namespace?: string;
  readonly selector?: object;
  readonly parameterNotFoundAction?: string;
}

/** What both kinds of policies have in their spec. */
export interface PolicySpec {
  readonly paramKind?: ParamKind;
  readonly matchConstraints?: StoredMatchResources;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
  readonly failurePolicy?: string;
}

export interface BindingSpec {
  readonly policyName: string;
  readonly paramRef?: ParamRef;
  readonly matchResources?: StoredMatchResources;
  readonly validationActions?: readonly string[];
}

export interface Binding {
  readonly name: string;
  readonly spec: BindingSpec;
  /** Undefined where it adds no limits of its own. */
  readonly match: MatchResources | undefined;
}

export interface Policy<Spec extends PolicySpec, Compiled> {
  readonly name: string;
  readonly spec: Spec;
  readonly ignoresFailure: boolean;
  readonly match: MatchResources;
  /** Compiled when it is first asked. */
  compiled(): Compiled;
}

/** A policy whose rules mean the request, as which kind, and the bindings that put it into force. */
export interface PolicyCandidate<Spec extends PolicySpec, Compiled> {
  readonly policy: Policy<Spec, Compiled>;
  readonly as: ResourceDefinition;
  readonly bindings: readonly Binding[];
}

export interface PolicyKind<Spec extends PolicySpec, Compiled> {
  /** Where policies and bindings lie in the store, with the slash at the end. */
  readonly policyPrefix: string;
  readonly bindingPrefix: string;
  compile(spec: Spec): Compiled;
}

/** All policies of one kind that are in force, kept in step with the store. */
export class PolicyIndex<Spec extends PolicySpec, Compiled> {
  readonly #kind: PolicyKind<Spec, Compiled>;
  readonly #policies = new Map<string, Policy<Spec, Compiled>>();
  readonly #bindings = new Map<string, Binding>();
  /** In the order in which they are asked. */
  #inForce: readonly { readonly policy: Policy<Spec, Compiled>; readonly bindings: readonly Binding[] }[] | undefined;
  readonly #stops: readonly (() => void)[];

  constructor(store: Store, kind: PolicyKind<Spec, Compiled>) {
    this.#kind = kind;
    this.#stops = [
      this.#mirror(store, kind.policyPrefix, this.#policies, (name, spec) => this.#readPolicy(name, spec as Spec)),
      this.#mirror(store, kind.bindingPrefix, this.#bindings, (name, spec) => readBinding(name, spec as BindingSpec)),
    ];
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** Policies and bindings whose rules mean the request; selectors and conditions are not looked at yet. */
  candidates(target: AdmissionTarget): readonly PolicyCandidate<Spec, Compiled>[] {
    this.#inForce ??= this.#computeInForce();
    if (this.#inForce.length === 0 || isExempt(target.resource)) return [];
    return this.#inForce.flatMap(({ policy, bindings }) => {
      const as = matchesRules(policy.match, target);
      if (as === undefined) return [];
      const meant = bindings.filter(({ match }) => match === undefined || matchesRules(match, target) !== undefined);
      return meant.length === 0 ? [] : [{ policy, as, bindings: meant }];
    });
  }

  #mirror<T>(store: Store, prefix: string, into: Map<string, T>, read: (name: string, spec: unknown) => T): () => void {
    return mirrorPrefix(store, prefix, {
      onPut: (stored) => {
        const { name } = namesOfKey(stored.key, prefix);
        into.set(name, read(name, (stored.object() as { spec?: unknown }).spec ?? {}));
        this.#inForce = undefined;
      },
      onDelete: ({ key }) => {
        into.delete(namesOfKey(key, prefix).name);
        this.#inForce = undefined;
      },
      onReset: () => {
        into.clear();
        this.#inForce = undefined;
      },
    });
  }

  #readPolicy(name: string, spec: Spec): Policy<Spec, Compiled> {
    let compiled: { readonly value: Compiled } | undefined;
    return {
      name,
      spec,
      ignoresFailure: spec.failurePolicy === 'Ignore',
      match: readMatchResources(spec.matchConstraints ?? {}),
      compiled: () => {
        compiled ??= { value: this.#kind.compile(spec) };
        return compiled.value;
      },
    };
  }

  #computeInForce() {
    const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1);
    const bindings = [...this.#bindings.values()].sort(byName);
    return [...this.#policies.values()]
      .sort(byName)
      .map((policy) => ({ policy, bindings: bindings.filter(({ spec }) => spec.policyName === policy.name) }))
      .filter((one) => one.bindings.length > 0);
  }
}

/** Nor questions (SubjectAccessReview, TokenReview): the cluster could not ask whether somebody may repair a policy. */
const isExempt = (resource: ResourceDefinition): boolean =>
  isExemptFromAdmission(resource) || resource.virtualCreate !== undefined;

function readBinding(name: string, spec: BindingSpec): Binding {
  return { name, spec, match: spec.matchResources === undefined ? undefined : readMatchResources(spec.matchResources) };
}
