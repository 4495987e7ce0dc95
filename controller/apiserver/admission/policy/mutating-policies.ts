import { ApiError, forbidden, internalError } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { applyJsonPatch } from '#api/patch/json-patch.ts';
import { CostBudget } from '../../cel/compile.ts';
import { RUNTIME_COST_BUDGET } from '../../cel/limits.ts';
import { CelBudgetError } from '../../cel/values/evaluation-error.ts';
import { NoJsonError, toJson } from '../../cel/values/json-values.ts';
import { CelList, CelStruct, type CelValue } from '../../cel/values/value.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { kindOf } from '../../webhooks/admission-review.ts';
import { type AdmissionRequest, reinvocationOf } from '../admission-plugin.ts';
import { applyToObject, checkTypeNames, MutationError } from './apply-configuration.ts';
import { askConfigured, paramsOfBinding } from './ask-binding.ts';
import { evaluatePolicy, type PolicyExpression, PolicyExpressions } from './evaluate-policy.ts';
import { evaluateConditions } from './match-conditions.ts';
import { matchesSelectors } from './match-resources.ts';
import { activationOf, LazyVariables } from './policy-activation.ts';
import { type Binding, type Policy, type PolicyCandidate, PolicyIndex, type PolicySpec } from './policy-index.ts';
import { objectsOf, policyObjects, putPolicyObject } from './policy-objects.ts';
import { viewRequest } from './policy-view.ts';
import type { PolicyPlugin, ValidatingPolicyDeps } from './validating-policies.ts';

interface MutatingSpec extends PolicySpec {
  readonly mutations?: readonly {
    readonly patchType: string;
    readonly applyConfiguration?: { readonly expression?: string };
    readonly jsonPatch?: { readonly expression?: string };
  }[];
  readonly reinvocationPolicy?: string;
}

interface CompiledPolicy {
  readonly conditions: readonly PolicyExpression[];
  readonly expressions: PolicyExpressions;
  readonly mutations: readonly { readonly isApply: boolean; readonly patch: PolicyExpression }[];
}

type MutatingPolicy = Policy<MutatingSpec, CompiledPolicy>;
type Candidate = PolicyCandidate<MutatingSpec, CompiledPolicy>;

const NAME = 'MutatingAdmissionPolicy';

function compile(spec: MutatingSpec): CompiledPolicy {
  const expressions = new PolicyExpressions(spec.paramKind !== undefined);
  const conditions = (spec.matchConditions ?? []).map(({ expression }) =>
    expressions.compile('matchCondition', expression),
  );
  expressions.defineVariables(spec.variables);
  const mutations = (spec.mutations ?? []).map(({ patchType, applyConfiguration, jsonPatch }) => {
    const isApply = patchType === 'ApplyConfiguration';
    const source = (isApply ? applyConfiguration : jsonPatch)?.expression ?? '';
    return { isApply, patch: expressions.compile(isApply ? 'applyConfiguration' : 'jsonPatch', source) };
  });
  return { conditions, expressions, mutations };
}

/** MutatingAdmissionPolicies: one after the other, each on what those before it made of the object. */
export function mutatingPolicies(deps: ValidatingPolicyDeps): PolicyPlugin {
  const index = new PolicyIndex<MutatingSpec, CompiledPolicy>(deps.store, {
    policyPrefix: '/registry/mutatingadmissionpolicies/',
    bindingPrefix: '/registry/mutatingadmissionpolicybindings/',
    compile,
  });
  return {
    stop: () => index.stop(),
    plugin: {
      name: NAME,
      // Nothing is there to be changed in a request without an object.
      handles: (target) =>
        (target.operation === 'CREATE' || target.operation === 'UPDATE') && index.candidates(target).length > 0,
      admit(request) {
        const mutator = new Mutator(deps, request);
        for (const candidate of index.candidates(request)) mutator.ask(candidate);
        mutator.finish();
      },
    },
  };
}

/** What the first round leaves behind for the second; the same as for webhooks. */
interface Memory {
  readonly toReinvoke: Set<string>;
  readonly asked: Set<string>;
  output: string;
}

class Mutator {
  readonly #deps: ValidatingPolicyDeps;
  readonly #request: AdmissionRequest;
  readonly #memory: Memory;
  readonly #isSecond: boolean;
  readonly #failures: string[] = [];

  constructor(deps: ValidatingPolicyDeps, request: AdmissionRequest) {
    this.#deps = deps;
    this.#request = request;
    const reinvocation = reinvocationOf(request);
    const known = reinvocation.memory.get(NAME) as Memory | undefined;
    this.#memory = known ?? { toReinvoke: new Set(), asked: new Set(), output: '' };
    reinvocation.memory.set(NAME, this.#memory);
    this.#isSecond = reinvocation.isUnderWay;
    if (this.#isSecond && this.#memory.output !== this.#image()) this.#requireReinvocation();
  }

  #image(): string {
    return JSON.stringify(this.#request.object ?? null);
  }

  #requireReinvocation(): void {
    for (const key of this.#memory.asked) this.#memory.toReinvoke.add(key);
    this.#memory.asked.clear();
  }

  /** Throws ApiError when a policy failed that may not fail. */
  finish(): void {
    this.#memory.output = this.#image();
    const [first] = this.#failures;
    if (first === undefined) return;
    const { resource, name, object } = this.#request;
    const base = forbidden(resource, name || object?.metadata?.generateName || 'Unknown', first);
    const causes = this.#failures.map((message) => ({ message }));
    throw new ApiError(base.code, 'Invalid', first, { ...base.details, causes });
  }

  ask({ policy, as, bindings }: Candidate): void {
    if (!this.#orFail(policy, undefined, () => matchesSelectors(this.#deps.store, policy.match, this.#request))) return;
    const { spec } = policy;
    for (const binding of bindings) {
      const question = { store: this.#deps.store, request: this.#request, spec, binding };
      const params = this.#orFail(policy, binding, () => paramsOfBinding(question));
      for (const param of params ?? []) this.#invoke(policy, binding, { as, param });
    }
  }

  #orFail<T>(policy: MutatingPolicy, binding: Binding | undefined, work: () => T): T | undefined {
    return askConfigured(binding, work, (message) => this.#fail(policy, binding, message));
  }

  #fail(policy: MutatingPolicy, binding: Binding | undefined, message: string): void {
    if (policy.ignoresFailure) return;
    const by = binding === undefined ? '' : ` with binding '${binding.name}'`;
    this.#failures.push(`policy '${policy.name}'${by} denied request: ${message}`);
  }

  #invoke(
    policy: MutatingPolicy,
    binding: Binding,
    { as, param }: { readonly as: ResourceDefinition; readonly param: KubeObject | undefined },
  ): void {
    const { conditions, mutations } = policy.compiled();
    const view = this.#orFail(policy, undefined, () => viewRequest(this.#deps.store, this.#request, as));
    if (view === undefined) return;
    const activation = activationOf({ ...view, params: param, authorizer: this.#deps.authorizer });
    const verdict = evaluateConditions(conditions, activation);
    if ('error' in verdict) {
      this.#fail(policy, binding, verdict.error);
      return;
    }
    if (!verdict.matches) return;
    const { namespace = '', name = '' } = param?.metadata ?? {};
    const key = `${policy.name}/${binding.name}/${namespace}/${name}`;
    if (this.#isSecond && !this.#memory.toReinvoke.has(key)) return;
    const before = view.object;
    for (const mutation of mutations) {
      const failure = this.#mutate(policy, mutation, { as, param });
      if (failure !== undefined) this.#fail(policy, binding, failure);
    }
    if (!deepEqual(before, policyObjects(this.#request, as).object)) {
      this.#requireReinvocation();
      reinvocationOf(this.#request).isWanted = true;
    }
    if (policy.spec.reinvocationPolicy === 'IfNeeded') this.#memory.asked.add(key);
  }

  /** Answers what went wrong. */
  #mutate(
    policy: MutatingPolicy,
    { isApply, patch }: CompiledPolicy['mutations'][number],
    { as, param }: { readonly as: ResourceDefinition; readonly param: KubeObject | undefined },
  ): string | undefined {
    const view = viewRequest(this.#deps.store, this.#request, as);
    const { object } = view;
    if (object === undefined) return undefined;
    const activation = activationOf({ ...view, params: param, authorizer: this.#deps.authorizer });
    const budget = new CostBudget(RUNTIME_COST_BUDGET);
    const variables = new LazyVariables(policy.compiled().expressions.variables, activation, budget);
    try {
      const result = evaluatePolicy(patch, { ...activation, variables }, budget);
      if ('error' in result) return result.error;
      const changed = isApply ? this.#apply(object, result.value, as) : patchObject(object, result.value);
      if (changed !== undefined) this.#put(as, changed);
      return undefined;
    } catch (error) {
      if (error instanceof MutationError || error instanceof CelBudgetError || error instanceof NoJsonError) {
        return error.message;
      }
      throw error;
    }
  }

  #apply(object: KubeObject, value: CelValue, as: ResourceDefinition): KubeObject {
    checkTypeNames(value, 'Object');
    const kind = kindOf(this.#request, as);
    const type = objectsOf(this.#request).format.typeOf(kind);
    try {
      return applyToObject(object, toJson(value) as object, type);
    } catch (error) {
      if (error instanceof ApiError)
        throw new MutationError(`error applying patch: ${error.message}`, { cause: error });
      throw error;
    }
  }

  #put(as: ResourceDefinition, changed: unknown): void {
    try {
      putPolicyObject(this.#request, as, changed);
    } catch (error) {
      throw error instanceof ApiError ? internalError(error) : error;
    }
  }
}

/** Undefined where a `test` of the patch does not hold: the object then stays as it is. */
function patchObject(object: KubeObject, value: CelValue): unknown {
  const operations = value instanceof CelList ? [...value].map(operationOf) : [];
  try {
    return applyJsonPatch(object, operations);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (operations.some(({ op }) => op === 'test') && /test/.test(error.message)) return undefined;
    throw new MutationError(`JSONPath: ${error.message}`, { cause: error });
  }
}

function operationOf(value: CelValue): Record<string, unknown> {
  if (!(value instanceof CelStruct)) throw new MutationError('type mismatch: an operation must be a JSONPatch');
  const made = value.fields.get('value');
  if (made instanceof CelStruct) checkTypeNames(made, made.typeName);
  return toJson(value) as Record<string, unknown>;
}
