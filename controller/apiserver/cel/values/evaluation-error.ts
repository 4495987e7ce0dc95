/** An expression that went wrong at run time: a missing key, a type that does not fit. `||` and `&&` may absorb it. */
export class CelEvaluationError extends Error {
  override readonly name: string = 'CelEvaluationError';
}

/** The expression, or all of its object's together, cost more than they may. Nothing absorbs it. */
export class CelBudgetError extends Error {
  override readonly name = 'CelBudgetError';
  /** `call`: this expression alone; `total`: what its predecessors left. */
  readonly exceeded: 'call' | 'total';

  constructor(exceeded: 'call' | 'total') {
    super(
      exceeded === 'call'
        ? 'operation cancelled: actual cost limit exceeded'
        : 'validation failed due to running out of cost budget, no further validation rules will be run',
    );
    this.exceeded = exceeded;
  }
}

export const noSuchOverload = (): CelEvaluationError => new CelEvaluationError('no such overload');
export const noSuchKey = (key: string): CelEvaluationError => new CelEvaluationError(`no such key: ${key}`);
