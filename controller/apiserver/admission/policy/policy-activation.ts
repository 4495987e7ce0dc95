import type { JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import {
  type Activation,
  type Binding,
  type CompiledExpression,
  type CostBudget,
  evaluate,
} from '../../cel/compile.ts';
import { CelAuthorizer, ResourceCheck } from '../../cel/library/authorization.ts';
import { CelEvaluationError } from '../../cel/values/evaluation-error.ts';
import { fromJson } from '../../cel/values/json-values.ts';
import { CelMap, type CelValue } from '../../cel/values/value.ts';
import type { Authorizer } from '../../chain/request-context.ts';
import type { AdmissionRequest } from '../admission-plugin.ts';

/** What the expressions about one request see. */
export interface PolicyFacts {
  readonly request: AdmissionRequest;
  /** `request` of the AdmissionReview. */
  readonly review: JsonObject;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly params?: unknown;
  /** Undefined for what lies in no namespace. */
  readonly namespaceObject?: KubeObject | undefined;
  readonly authorizer: Authorizer;
}

/** Everything but `variables`. Values are made when an expression asks for them. */
export function activationOf(facts: PolicyFacts): Activation {
  const { request, authorizer } = facts;
  const caller = new CelAuthorizer(authorizer, request.user);
  const { resource, subresource, namespace, name } = request;
  const { uid: _uid, object: _object, oldObject: _old, ...review } = facts.review;
  return {
    object: () => fromJson(facts.object ?? null),
    oldObject: () => fromJson(facts.oldObject ?? null),
    request: () => fromJson(review),
    params: () => fromJson(facts.params ?? null),
    namespaceObject: () => fromJson(facts.namespaceObject === undefined ? null : shownNamespace(facts.namespaceObject)),
    authorizer: caller,
    'authorizer.requestResource': () =>
      new ResourceCheck(caller, { group: resource.group, resource: resource.resource, subresource, namespace, name }),
  };
}

/** A namespace without the fields that Kubernetes keeps from expressions. */
function shownNamespace({ metadata, ...rest }: KubeObject): JsonObject {
  const {
    managedFields: _fields,
    ownerReferences: _owners,
    selfLink: _link,
    ...shown
  } = metadata as KubeObject['metadata'] & {
    selfLink?: string;
  };
  return { ...rest, metadata: shown };
}

/** The values of `variables`: each is computed when the first expression asks for it, at the cost of the same budget. */
export class LazyVariables extends CelMap {
  readonly #expressions: ReadonlyMap<string, CompiledExpression | string>;
  readonly #known = new Map<string, CelValue | CelEvaluationError>();
  readonly #activation: Readonly<Record<string, Binding | undefined>>;
  readonly #budget: CostBudget;

  /** An expression that is a text is one that did not compile, and why. */
  constructor(
    expressions: ReadonlyMap<string, CompiledExpression | string>,
    activation: Activation,
    budget: CostBudget,
  ) {
    super();
    this.#expressions = expressions;
    this.#activation = { ...activation, variables: this };
    this.#budget = budget;
  }

  override get size(): number {
    return this.#expressions.size;
  }

  override keys(): Iterable<CelValue> {
    return this.#expressions.keys();
  }

  override get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string') return undefined;
    const expression = this.#expressions.get(key);
    if (expression === undefined) return undefined;
    const value = this.#known.get(key) ?? this.#compute(key, expression);
    if (value instanceof CelEvaluationError) throw value;
    return value;
  }

  #compute(name: string, expression: CompiledExpression | string): CelValue | CelEvaluationError {
    const value = this.#attempt(name, expression);
    this.#known.set(name, value);
    return value;
  }

  #attempt(name: string, expression: CompiledExpression | string): CelValue | CelEvaluationError {
    const failed = (why: string) =>
      new CelEvaluationError(`composited variable ${JSON.stringify(name)} fails to evaluate: ${why}`);
    if (typeof expression === 'string') return failed(expression);
    try {
      return evaluate(expression, this.#activation, this.#budget);
    } catch (error) {
      if (error instanceof CelEvaluationError) return failed(error.message);
      throw error;
    }
  }
}
