import type { Store } from '../../../store/store.ts';
import { type Activation, CostBudget } from '../../cel/compile.ts';
import { MAX_EVALUATED_MESSAGE_BYTES, RUNTIME_COST_BUDGET } from '../../cel/limits.ts';
import { CelBudgetError } from '../../cel/values/evaluation-error.ts';
import { typeNameOf } from '../../cel/values/value.ts';
import type { Authorizer } from '../../chain/request-context.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission-plugin.ts';
import { askConfigured, paramsOfBinding } from './ask-binding.ts';
import { evaluatePolicy, type PolicyExpression, PolicyExpressions, type PolicyResult } from './evaluate-policy.ts';
import { evaluateConditions } from './match-conditions.ts';
import { matchesSelectors } from './match-resources.ts';
import { activationOf, LazyVariables } from './policy-activation.ts';
import { type Binding, type Policy, type PolicyCandidate, PolicyIndex, type PolicySpec } from './policy-index.ts';
import { policyRefusal, warnOnce } from './policy-refusal.ts';
import { viewRequest } from './policy-view.ts';

interface ValidatingSpec extends PolicySpec {
  readonly validations?: readonly {
    readonly expression: string;
    readonly message?: string;
    readonly messageExpression?: string;
    readonly reason?: string;
  }[];
  readonly auditAnnotations?: readonly { readonly key: string; readonly valueExpression: string }[];
}

interface CompiledValidation {
  readonly condition: PolicyExpression;
  readonly message: PolicyExpression | undefined;
  readonly fixedMessage: string;
  readonly reason: string;
}

interface CompiledPolicy {
  readonly conditions: readonly PolicyExpression[];
  readonly expressions: PolicyExpressions;
  readonly validations: readonly CompiledValidation[];
  readonly annotations: readonly { readonly key: string; readonly value: PolicyExpression }[];
}

type ValidatingPolicy = Policy<ValidatingSpec, CompiledPolicy>;
type Candidate = PolicyCandidate<ValidatingSpec, CompiledPolicy>;

export interface ValidatingPolicyDeps {
  readonly store: Store;
  readonly authorizer: Authorizer;
}

export interface PolicyPlugin {
  readonly plugin: AdmissionPlugin;
  /** Ends the watches of policies and bindings. */
  stop(): void;
}

function compile(spec: ValidatingSpec): CompiledPolicy {
  const expressions = new PolicyExpressions(spec.paramKind !== undefined);
  const conditions = (spec.matchConditions ?? []).map(({ expression }) =>
    expressions.compile('matchCondition', expression),
  );
  expressions.defineVariables(spec.variables);
  const validations = (spec.validations ?? []).map((validation) => ({
    condition: expressions.compile('validation', validation.expression),
    message: validation.messageExpression
      ? expressions.compile('messageExpression', validation.messageExpression)
      : undefined,
    fixedMessage: (validation.message ?? '').trim(),
    reason: validation.reason ?? 'Invalid',
  }));
  const annotations = (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
    key,
    value: expressions.compile('auditAnnotation', valueExpression),
  }));
  return { conditions, expressions, validations, annotations };
}

/** ValidatingAdmissionPolicies: all are asked, and the first refusal is the answer. */
export function validatingPolicies(deps: ValidatingPolicyDeps): PolicyPlugin {
  const index = new PolicyIndex<ValidatingSpec, CompiledPolicy>(deps.store, {
    policyPrefix: '/registry/validatingadmissionpolicies/',
    bindingPrefix: '/registry/validatingadmissionpolicybindings/',
    compile,
  });
  return {
    stop: () => index.stop(),
    plugin: {
      name: 'ValidatingAdmissionPolicy',
      handles: (target) => index.candidates(target).length > 0,
      validate(request) {
        const judge = new Judge(deps, request);
        for (const candidate of index.candidates(request)) judge.ask(candidate);
        judge.deliver();
      },
    },
  };
}

/** What one expression, or all of a policy that went wrong, decided. */
interface Decision {
  readonly message: string;
  readonly reason: string;
}

interface Refusal extends Decision {
  readonly policy: string;
  readonly binding: string | undefined;
}

/** Longer values of audit annotations are cut. */
const MAX_ANNOTATION_VALUE = 10 * 1024;

/** Asks the policies about one request and collects what they say. */
class Judge {
  readonly #deps: ValidatingPolicyDeps;
  readonly #request: AdmissionRequest;
  readonly #refusals: Refusal[] = [];

  constructor(deps: ValidatingPolicyDeps, request: AdmissionRequest) {
    this.#deps = deps;
    this.#request = request;
  }

  /** Throws ApiError for the first refusal. */
  deliver(): void {
    const [first] = this.#refusals;
    if (first === undefined) return;
    const { policy, binding, message, reason } = first;
    const by = `ValidatingAdmissionPolicy '${policy}'${binding === undefined ? '' : ` with binding '${binding}'`}`;
    throw policyRefusal(this.#request, `${by} denied request: ${message}`, reason || 'Invalid');
  }

  ask({ policy, as, bindings }: Candidate): void {
    if (!this.#orFail(policy, undefined, () => matchesSelectors(this.#deps.store, policy.match, this.#request))) return;
    const annotations = new Map<string, Set<string>>();
    const { spec } = policy;
    for (const binding of bindings) {
      const question = { store: this.#deps.store, request: this.#request, spec, binding };
      const params = this.#orFail(policy, binding, () => paramsOfBinding(question));
      if (params === undefined || params.length === 0) continue;
      const view = this.#orFail(policy, undefined, () => viewRequest(this.#deps.store, this.#request, as));
      if (view === undefined) return;
      for (const param of params) {
        const activation = activationOf({ ...view, params: param, authorizer: this.#deps.authorizer });
        this.#judge(policy, binding, { activation, annotations });
      }
    }
    for (const [key, values] of annotations) {
      this.#request.context.auditAnnotations[`${policy.name}/${key}`] = [...values].join(', ');
    }
  }

  /** What cannot be asked counts as a refusal, unless the policy says that failures are to be ignored. */
  #orFail<T>(policy: ValidatingPolicy, binding: Binding | undefined, work: () => T): T | undefined {
    return askConfigured(binding, work, (message) => {
      if (policy.ignoresFailure) return;
      this.#refusals.push({ policy: policy.name, binding: binding?.name, message, reason: '' });
    });
  }

  #judge(
    policy: ValidatingPolicy,
    binding: Binding,
    { activation, annotations }: { readonly activation: Activation; readonly annotations: Map<string, Set<string>> },
  ): void {
    const { conditions, expressions, validations, annotations: wanted } = policy.compiled();
    const verdict = evaluateConditions(conditions, activation);
    if ('error' in verdict) {
      if (!policy.ignoresFailure) this.#act(policy, binding, 0, { message: verdict.error, reason: '' });
      return;
    }
    if (!verdict.matches) return;
    const budget = new CostBudget(RUNTIME_COST_BUDGET);
    const variables = new LazyVariables(expressions.variables, activation, budget);
    const seen = { ...activation, variables };
    try {
      for (const [index, validation] of validations.entries()) {
        const decision = decide(validation, seen, { budget, ignoresFailure: policy.ignoresFailure });
        if (decision !== undefined) this.#act(policy, binding, index, decision);
      }
      for (const { key, value } of wanted) {
        this.#annotate(policy, binding, { key, result: evaluatePolicy(value, seen, budget), annotations });
      }
    } catch (error) {
      if (!(error instanceof CelBudgetError)) throw error;
      if (!policy.ignoresFailure) this.#act(policy, binding, 0, { message: error.message, reason: '' });
    }
  }

  #act(policy: ValidatingPolicy, binding: Binding, index: number, decision: Decision): void {
    const { message } = decision;
    const actions = binding.spec.validationActions ?? [];
    for (const action of actions) {
      if (action === 'Deny') this.#refusals.push({ ...decision, policy: policy.name, binding: binding.name });
      else if (action === 'Warn') {
        const by = `ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}'`;
        warnOnce(this.#request, `Validation failed for ${by}: ${message}`);
      } else if (action === 'Audit') {
        const failure = {
          message,
          policy: binding.spec.policyName,
          binding: binding.name,
          expressionIndex: index,
          validationActions: actions,
        };
        this.#request.context.auditAnnotations['validation.policy.admission.k8s.io/validation_failure'] =
          JSON.stringify([failure]);
      }
    }
  }

  #annotate(
    policy: ValidatingPolicy,
    binding: Binding,
    {
      key,
      result,
      annotations,
    }: {
      readonly key: string;
      readonly result: PolicyResult;
      readonly annotations: Map<string, Set<string>>;
    },
  ): void {
    const text = annotationOf(result);
    if (typeof text !== 'string') {
      const { failure } = text;
      if (!policy.ignoresFailure) {
        this.#refusals.push({ policy: policy.name, binding: binding.name, message: failure, reason: '' });
      }
      return;
    }
    if (text === '') return;
    const values = annotations.get(key) ?? new Set();
    annotations.set(key, values.add(text));
  }
}

/** The text to note, '' for none. */
function annotationOf(result: PolicyResult): string | { readonly failure: string } {
  if ('error' in result) return { failure: result.error };
  const { value } = result;
  if (value === null) return '';
  if (typeof value === 'string') return value.trim().slice(0, MAX_ANNOTATION_VALUE);
  const type = typeNameOf(value);
  return { failure: `resulted in unsupported return type: ${type}. Return type must be either string or null.` };
}

/** Undefined where the object may pass. Throws CelBudgetError once the budget of the policy is gone. */
function decide(
  { condition, message, fixedMessage, reason }: CompiledValidation,
  activation: Activation,
  { budget, ignoresFailure }: { readonly budget: CostBudget; readonly ignoresFailure: boolean },
): Decision | undefined {
  const result = evaluatePolicy(condition, activation, budget);
  if ('error' in result) return ignoresFailure ? undefined : { message: result.error, reason: '' };
  if (result.value === true) return undefined;
  const computed = message === undefined ? '' : messageOf(evaluatePolicy(message, activation, budget));
  const text = computed || fixedMessage || `failed expression: ${condition.source.trim()}`;
  return { message: text, reason };
}

/** '' where the expression gave no message that could be shown; the fixed one then stands in. */
function messageOf(result: PolicyResult): string {
  if ('error' in result || typeof result.value !== 'string') return '';
  const text = result.value.trim();
  return text.includes('\n') || Buffer.byteLength(text) > MAX_EVALUATED_MESSAGE_BYTES ? '' : text;
}
