import { describe, expect, it } from 'vitest';
import { seededRandom } from '#base/seeded-random.ts';
import { checkHistory } from '#test/kit/history/check-history.ts';
import { ABSENT, apply, type Operation, type OperationKind, type State } from '#test/kit/history/operation.ts';

/** `[kind, start, end, outcome]` on one key; without an end the outcome is unknown. */
type Line = readonly [OperationKind, number, number?, Operation['outcome']?];

const operationsOf = (lines: readonly Line[]): Operation[] =>
  lines.map(([kind, startMs, endMs, outcome], client) => ({
    kind,
    key: 'k',
    client,
    startMs,
    endMs: endMs ?? Number.POSITIVE_INFINITY,
    outcome: outcome ?? (endMs === undefined ? 'unknown' : 'ok'),
  }));

const create = (value: number): OperationKind => ({ type: 'create', value });
const put = (value: number): OperationKind => ({ type: 'put', value });
const swap = (expected: number, value: number): OperationKind => ({ type: 'swap', expected, value });
const read = (value?: number): OperationKind => ({ type: 'read', value });
const remove: OperationKind = { type: 'delete' };

describe('check of a history', () => {
  it.each<[string, 'linearizable' | 'violation', Line[]]>([
    ['nothing happened', 'linearizable', []],
    [
      'reads after a write see it',
      'linearizable',
      [
        [create(1), 0, 1],
        [read(1), 2, 3],
      ],
    ],
    [
      'a read after a write does not see it',
      'violation',
      [
        [create(1), 0, 1],
        [read(), 2, 3],
      ],
    ],
    [
      'a read beside a write sees it or not',
      'linearizable',
      [
        [create(1), 0, 9],
        [read(), 1, 2],
        [read(1), 3, 4],
      ],
    ],
    [
      'a read goes back behind another',
      'violation',
      [
        [create(1), 0, 9],
        [read(1), 1, 2],
        [read(), 3, 4],
      ],
    ],
    [
      'a stale read of the value before',
      'violation',
      [
        [create(1), 0, 1],
        [put(2), 2, 3],
        [read(1), 4, 5],
      ],
    ],
    [
      'two created it',
      'violation',
      [
        [create(1), 0, 9],
        [create(2), 1, 8],
      ],
    ],
    [
      'one of two created it',
      'linearizable',
      [
        [create(1), 0, 9],
        [create(2), 1, 8, 'refused'],
        [read(1), 10, 11],
      ],
    ],
    [
      'a lost update',
      'violation',
      [
        [create(1), 0, 1],
        [swap(1, 2), 2, 9],
        [swap(1, 3), 2, 9],
      ],
    ],
    [
      'one swap wins, the other is refused',
      'linearizable',
      [
        [create(1), 0, 1],
        [swap(1, 2), 2, 9],
        [swap(1, 3), 2, 9, 'refused'],
        [read(2), 10, 11],
      ],
    ],
    [
      'a swap refused without a reason',
      'violation',
      [
        [create(1), 0, 1],
        [swap(1, 2), 2, 3, 'refused'],
      ],
    ],
    [
      'a swap refused by one whose answer is lost',
      'linearizable',
      [
        [create(1), 0, 1],
        [swap(1, 2), 2],
        [swap(1, 3), 4, 5, 'refused'],
      ],
    ],
    [
      'a write of unknown outcome happened',
      'linearizable',
      [
        [create(1), 0, 1],
        [put(2), 2],
        [read(2), 4, 5],
      ],
    ],
    [
      'a write of unknown outcome did not happen',
      'linearizable',
      [
        [create(1), 0, 1],
        [put(2), 2],
        [read(1), 4, 5],
      ],
    ],
    [
      'a write of unknown outcome happens late',
      'linearizable',
      [
        [create(1), 0, 1],
        [put(2), 2],
        [read(1), 4, 5],
        [read(2), 6, 7],
      ],
    ],
    [
      'a write of unknown outcome happens and is undone by nobody',
      'violation',
      [
        [create(1), 0, 1],
        [put(2), 2],
        [read(2), 4, 5],
        [read(1), 6, 7],
      ],
    ],
    [
      'a write of unknown outcome was seen before it began',
      'violation',
      [
        [create(1), 0, 1],
        [read(2), 2, 3],
        [put(2), 4],
      ],
    ],
    [
      'an acknowledged write was lost',
      'violation',
      [
        [create(1), 0, 1],
        [put(2), 2, 3],
        [put(3), 4],
        [swap(1, 4), 6, 7],
      ],
    ],
    [
      'deleted and made anew',
      'linearizable',
      [
        [create(1), 0, 1],
        [remove, 2, 3],
        [create(2), 4, 5],
        [read(2), 6, 7],
      ],
    ],
    [
      'deleted, and there all the same',
      'violation',
      [
        [create(1), 0, 1],
        [remove, 2, 3],
        [read(1), 4, 5],
      ],
    ],
    [
      'two deleted one object',
      'violation',
      [
        [create(1), 0, 1],
        [remove, 2, 9],
        [remove, 3, 8],
      ],
    ],
    [
      'many unknown deletes explain an absence',
      'linearizable',
      [
        [create(1), 0, 1],
        [remove, 2],
        [remove, 2],
        [remove, 2],
        [read(), 4, 5],
        [create(2), 6, 7],
        [read(), 8, 9],
      ],
    ],
  ])('%s: %s', (_, expected, lines) => {
    expect(checkHistory(operationsOf(lines)).kind).toBe(expected);
  });
});

interface Mutant {
  /** The state that a read is answered from. */
  readonly readFrom?: (states: readonly State[], random: () => number) => State;
  /** Whether a write that is acknowledged is kept. */
  readonly keeps?: (random: () => number) => boolean;
}

/** What clients of a register see that takes each operation at a random instant of its duration; some answers are lost. */
function simulate(seed: number, mutant: Mutant = {}): Operation[] {
  const random = seededRandom(seed);
  const pick = (count: number) => Math.floor(random() * count);
  const starts = Array.from({ length: 8 }, (_, client) => ({ client, atMs: random() * 5 }));
  const history: Operation[] = [];
  let value = 0;
  // Instants of effect in their order: each client has one operation under way.
  const pending = starts.map(({ client, atMs }) => ({ client, startMs: atMs, effectMs: atMs + random() * 5 }));
  const states: State[] = [ABSENT];
  for (let i = 0; i < 2_000; i++) {
    pending.sort((a, b) => a.effectMs - b.effectMs);
    const { client, startMs, effectMs } = pending.shift()!;
    const state = states.at(-1)!;
    const kinds: OperationKind[] = [
      read((mutant.readFrom?.(states, random) ?? state) || undefined),
      read((mutant.readFrom?.(states, random) ?? state) || undefined),
      put(++value),
      create(++value),
      swap(state === ABSENT || random() < 0.3 ? value : state, ++value),
      ...(random() < 0.3 ? [remove] : []),
    ];
    const kind = kinds[pick(kinds.length)]!;
    const endMs = effectMs + random() * 5;
    const operation = { kind, key: 'k', client, startMs, endMs, outcome: 'ok' as const };
    const after = kind.type === 'read' ? state : apply(state, operation);
    if (after !== undefined && after !== state && (mutant.keeps?.(random) ?? true)) states.push(after);
    const isLost = kind.type !== 'read' && random() < 0.02;
    history.push({
      ...operation,
      endMs: isLost ? Number.POSITIVE_INFINITY : endMs,
      outcome: isLost ? 'unknown' : after === undefined ? 'refused' : 'ok',
    });
    pending.push({ client, startMs: endMs, effectMs: endMs + random() * 5 });
  }
  return history;
}

describe('check of thousands of simulated operations', () => {
  const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));

  it(`finds nothing wrong with a true register (seed ${seed})`, () => {
    for (let i = 0; i < 3; i++) expect(checkHistory(simulate(seed + i)).kind).toBe('linearizable');
  });

  it.each<[string, Mutant]>([
    [
      'one read in fifty is answered from an older state',
      { readFrom: (states, random) => states.at(random() < 0.02 ? -1 - Math.ceil(random() * 40) : -1) ?? ABSENT },
    ],
    ['one write in twenty is acknowledged and lost', { keeps: (random) => random() > 0.05 }],
  ])(`catches a mutant: %s (seed ${seed})`, (_, mutant) => {
    for (let i = 0; i < 3; i++) expect(checkHistory(simulate(seed + i, mutant)).kind).toBe('violation');
  });

  it(`agrees with trying every order (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const verdicts = { linearizable: 0, violation: 0 };
    for (let i = 0; i < 2_000; i++) {
      const history = randomHistory(random);
      const expected = hasOrder(history, ABSENT) ? 'linearizable' : 'violation';
      expect({ verdict: checkHistory(history).kind, history }).toEqual({ verdict: expected, history });
      verdicts[expected]++;
    }
    expect(Math.min(...Object.values(verdicts))).toBeGreaterThan(100);
  });
});

/** A few operations with random times and outcomes: nonsense more often than not. */
function randomHistory(random: () => number): Operation[] {
  const pick = (count: number) => Math.floor(random() * count);
  return Array.from({ length: 3 + pick(4) }, (_, i) => {
    const startMs = pick(12);
    const other = pick(8);
    const kinds = [
      read(other || undefined),
      read(other || undefined),
      create(i + 1),
      put(i + 1),
      swap(other, i + 1),
      remove,
    ];
    const kind = kinds[pick(kinds.length)]!;
    const outcome = kind.type === 'read' ? 'ok' : (['ok', 'ok', 'refused', 'unknown'] as const)[pick(4)]!;
    const endMs = outcome === 'unknown' ? Number.POSITIVE_INFINITY : startMs + 1 + pick(12);
    return { kind, key: 'k', client: i, startMs, endMs, outcome };
  });
}

/** The definition itself. */
function hasOrder(rest: readonly Operation[], state: State): boolean {
  if (rest.every(({ outcome }) => outcome === 'unknown')) return true;
  return rest.some((operation) => {
    const others = rest.filter((other) => other !== operation);
    if (others.some(({ endMs }) => endMs < operation.startMs)) return false;
    const after = apply(state, operation);
    return after !== undefined && hasOrder(others, after);
  });
}
