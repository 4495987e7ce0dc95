/**
 * One operation of a concurrent history on one key. Times are of one monotonic clock. Values are unique among all writes of a history, so
 * that a read says which write it saw.
 */
export interface Operation {
  readonly kind: OperationKind;
  readonly key: string;
  /** Who did it: no client does two things at once. */
  readonly client: number;
  readonly startMs: number;
  /** Infinity where no answer came: it may have happened at any time since, or never. */
  readonly endMs: number;
  readonly outcome: 'ok' | 'refused' | 'unknown';
}

export type OperationKind =
  /** `value`: what was seen; undefined = the object was absent. Its outcome is always `ok`: a read that failed tells nothing. */
  | { readonly type: 'read'; readonly value: Value | undefined }
  /** Refused: it existed. */
  | { readonly type: 'create'; readonly value: Value }
  /** Refused: it was absent or held another value than `expected`. */
  | { readonly type: 'swap'; readonly expected: Value; readonly value: Value }
  /** Refused: it was absent. */
  | { readonly type: 'put'; readonly value: Value }
  /** Refused: it was absent. */
  | { readonly type: 'delete' };

export type Value = number;

/** What a key holds; 0 = it is absent. */
export type State = number;
export const ABSENT: State = 0;

/**
 * The state after the operation, or undefined where it cannot have had its outcome in this state. One of unknown outcome may be left out
 * for ever, so that taking effect means success.
 */
export function apply(state: State, { kind, outcome }: Operation): State | undefined {
  const after = effect(state, kind);
  if (outcome !== 'refused') return after;
  return after === undefined ? state : undefined;
}

/** The state after success; undefined where success was impossible. */
function effect(state: State, kind: OperationKind): State | undefined {
  switch (kind.type) {
    case 'read':
      return state === (kind.value ?? ABSENT) ? state : undefined;
    case 'create':
      return state === ABSENT ? kind.value : undefined;
    case 'swap':
      return state === kind.expected ? kind.value : undefined;
    case 'put':
      return state === ABSENT ? undefined : kind.value;
    case 'delete':
      return state === ABSENT ? undefined : ABSENT;
  }
}
