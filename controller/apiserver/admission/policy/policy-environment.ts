import { type CompiledExpression, compileExpression } from '../../cel/compile.ts';
import { type CelEnvironment, createEnvironment } from '../../cel/environment.ts';
import { AUTHORIZER_TYPE, RESOURCE_CHECK_TYPE } from '../../cel/library/authorization.ts';
import { JSON_PATCH_FUNCTIONS } from '../../cel/library/json-patch.ts';
import { BOOL, type CelType, DYN, formatType, isDyn, listOf, NULL, opaque, STRING } from '../../cel/types/cel-type.ts';
import { APPLY_TYPE, JSON_PATCH_TYPE, NAMESPACE_TYPE, patchType, REQUEST_TYPE, variablesType } from './policy-types.ts';

export type ExpressionRole =
  | 'matchCondition'
  | 'variable'
  | 'validation'
  | 'messageExpression'
  | 'auditAnnotation'
  | 'jsonPatch'
  | 'applyConfiguration';

/** What each expression has to answer; undefined for anything. */
const RESULTS: Readonly<Record<ExpressionRole, readonly CelType[] | undefined>> = {
  matchCondition: [BOOL],
  variable: undefined,
  validation: [BOOL],
  messageExpression: [STRING],
  auditAnnotation: [STRING, NULL],
  jsonPatch: [listOf(JSON_PATCH_TYPE)],
  applyConfiguration: [APPLY_TYPE],
};

export interface PolicyExpressionFacts {
  readonly expression: string;
  readonly role: ExpressionRole;
  readonly hasParams: boolean;
  readonly hasAuthorizer: boolean;
}

export type PolicyCompilation =
  | { readonly ok: true; readonly compiled: CompiledExpression }
  /** In Kubernetes' words, the places of all mistakes included. */
  | { readonly ok: false; readonly detail: string };

/** Types that replace dyn where the kind of the objects is known. */
export interface KnownTypes {
  readonly object: CelType;
  readonly params?: CelType;
}

/** Compiles the expressions of one policy in their order: each sees the variables that were compiled before it. */
export class PolicyCompiler {
  readonly #variables = new Map<string, CelType>();
  readonly #environments = new Map<string, CelEnvironment>();
  readonly #types: KnownTypes | undefined;

  constructor(types?: KnownTypes) {
    this.#types = types;
  }

  compile(facts: PolicyExpressionFacts): PolicyCompilation {
    const result = compileExpression(facts.expression, this.#environmentFor(facts));
    if (!result.ok) return { ok: false, detail: `compilation failed: ${result.message}` };
    const { resultType } = result.expression;
    const wanted = RESULTS[facts.role];
    const type = formatType(resultType);
    if (wanted === undefined || wanted.some((one) => formatType(one) === type)) {
      return { ok: true, compiled: result.expression };
    }
    const [first, ...others] = wanted.map(formatType);
    const detail =
      others.length === 0
        ? `must evaluate to ${first} but got ${type}`
        : `must evaluate to one of [${[first, ...others].join(' ')}] but got ${type}`;
    return { ok: false, detail };
  }

  /** Makes a variable known to all expressions that follow; one that does not compile is dyn. */
  define(name: string, type: CelType | undefined): void {
    this.#variables.set(name, type === undefined || isDyn(type) ? DYN : type);
  }

  /** What a validation may name. */
  environment(hasParams: boolean): CelEnvironment {
    return this.#environmentFor({ role: 'validation', hasParams, hasAuthorizer: true });
  }

  #environmentFor({ role, hasParams, hasAuthorizer }: Omit<PolicyExpressionFacts, 'expression'>): CelEnvironment {
    const isPatch = role === 'jsonPatch' || role === 'applyConfiguration';
    // Conditions decide whether a policy is asked at all: they come before its variables.
    const hasVariables = role !== 'matchCondition';
    const key = [isPatch, hasVariables, hasParams, hasAuthorizer].join();
    const known = this.#environments.get(key);
    if (known !== undefined) return known;
    const object = this.#types?.object ?? DYN;
    const environment = createEnvironment({
      variables: {
        object,
        oldObject: object,
        request: REQUEST_TYPE,
        namespaceObject: NAMESPACE_TYPE,
        ...(hasParams ? { params: this.#types?.params ?? DYN } : {}),
        ...(hasAuthorizer
          ? { authorizer: opaque(AUTHORIZER_TYPE), 'authorizer.requestResource': opaque(RESOURCE_CHECK_TYPE) }
          : {}),
        ...(hasVariables ? { variables: variablesType(this.#variables) } : {}),
      },
      ...(isPatch ? { functions: JSON_PATCH_FUNCTIONS, structType: patchType } : {}),
    });
    this.#environments.set(key, environment);
    return environment;
  }
}
