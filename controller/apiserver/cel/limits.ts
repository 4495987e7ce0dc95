/** Cost of one expression at run time: what is above it is stopped. The unit is Kubernetes': about one field access or comparison. */
export const PER_CALL_LIMIT = 1_000_000;
/** Cost of all expressions that judge one object: of one CustomResource, or of one policy and one request. */
export const RUNTIME_COST_BUDGET = 10_000_000;
/** matchConditions have a quarter of the budget of the policy or webhook they belong to. */
export const RUNTIME_COST_BUDGET_MATCH_CONDITIONS = RUNTIME_COST_BUDGET / 4;
/** Highest estimate with which a rule may stand in a CustomResourceDefinition. */
export const STATIC_COST_LIMIT = 10_000_000;
/** The same for all rules of one CustomResourceDefinition version together. */
export const STATIC_COST_LIMIT_CRD = 100_000_000;
/** What the API server reads of one request; sizes that a schema leaves open are bounded by it. */
export const MAX_REQUEST_SIZE_BYTES = 3 * 1024 * 1024;
/** Longest message that a messageExpression may give. */
export const MAX_EVALUATED_MESSAGE_BYTES = 5 * 1024;
/** Code points of one expression's source. */
export const MAX_EXPRESSION_LENGTH = 100_000;
/** Nesting of one expression, chains of operators included. */
export const MAX_EXPRESSION_DEPTH = 250;
