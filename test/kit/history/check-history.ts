import { ABSENT, apply, type Operation, type State, type Value } from './operation.ts';

/** What the check of one key's operations found. */
export type KeyVerdict =
  | { readonly kind: 'linearizable' }
  /** `stuck`: the operations around the point beyond which no order explains what was seen. */
  | { readonly kind: 'violation'; readonly key: string; readonly stuck: readonly Operation[] }
  /** Too many operations of unknown outcome at once: no verdict within the steps allowed. */
  | { readonly kind: 'undecided'; readonly key: string };

export type HistoryVerdict =
  | { readonly kind: 'linearizable'; readonly keys: number; readonly operations: number }
  | Exclude<KeyVerdict, { readonly kind: 'linearizable' }>;

const MAX_STEPS = 5_000_000;
const STUCK_CONTEXT = 8;

/**
 * Is there an order of the operations, one for each key, in which every operation takes effect at one instant between its start and its
 * end? Keys are independent, because each is a register of its own (linearizability is local). The first violation is answered.
 */
export function checkHistory(history: readonly Operation[]): HistoryVerdict {
  const byKey = Map.groupBy(history, ({ key }) => key);
  for (const operations of byKey.values()) {
    const verdict = checkKey(operations);
    if (verdict.kind !== 'linearizable') return verdict;
  }
  return { kind: 'linearizable', keys: byKey.size, operations: history.length };
}

/** Start or end of an operation in a doubly linked list in the order of time. */
interface Entry {
  readonly id: number;
  readonly isStart: boolean;
  readonly operation: Operation;
  /** Of a start: its end. */
  end: Entry | undefined;
  previous: Entry | undefined;
  next: Entry | undefined;
}

/** The set of operations that have taken effect: all known ones below `below`, and some beyond. Immutable. */
interface Done {
  readonly below: number;
  readonly beyond: readonly number[];
  /** Of unknown outcome: their classes, as many times as there are of each. The earliest of a class serves where a later one would. */
  readonly unknown: readonly string[];
}

interface Choice {
  readonly entry: Entry;
  readonly state: State;
  readonly done: Done;
}

/**
 * The search of Wing and Gong, with Lowe's memory of visited configurations: an operation may take effect next when no other that has not
 * ended before it began; what led nowhere once is not tried again.
 */
export function checkKey(operations: readonly Operation[]): KeyVerdict {
  const { head, known } = link(operations);
  const witnesses = new Witnesses(operations);
  const visited = new Set<string>();
  const choices: Choice[] = [];
  let state: State = ABSENT;
  let done: Done = { below: 0, beyond: [], unknown: [] };
  let furthest: Operation | undefined;
  let entry = head.next;
  for (let steps = 0; entry !== undefined; steps++) {
    if (steps > MAX_STEPS) return { kind: 'undecided', key: operations[0]!.key };
    // All that is left has no known outcome, and so need not have happened.
    if (done.below === known && done.beyond.length === 0) return { kind: 'linearizable' };
    if (entry.isStart) {
      const after: State | undefined = witnesses.allow(state, entry.operation);
      const extended: Done | undefined = after === undefined ? undefined : add(done, entry, known, witnesses);
      const configuration =
        extended && `${extended.below}|${extended.beyond}|${extended.unknown}|${witnesses.classOf(after!)}`;
      if (extended === undefined || visited.has(configuration!)) {
        entry = entry.next;
        continue;
      }
      visited.add(configuration!);
      choices.push({ entry, state, done });
      witnesses.take(entry.operation, 1);
      state = after!;
      done = extended;
      lift(entry);
      entry = head.next;
      continue;
    }
    // An operation ended and has not taken effect: one of the choices before was wrong.
    if (furthest === undefined || entry.operation.endMs > furthest.endMs) furthest = entry.operation;
    const choice = choices.pop();
    if (choice === undefined)
      return { kind: 'violation', key: operations[0]!.key, stuck: around(operations, furthest) };
    ({ state, done } = choice);
    witnesses.take(choice.entry.operation, -1);
    unlift(choice.entry);
    entry = choice.entry.next;
  }
  return { kind: 'linearizable' };
}

/**
 * Who saw which value. As values are unique, one that was left never comes back: whoever saw it must have taken effect before. And values
 * that nobody speaks of are all alike. Both keep the search small.
 */
class Witnesses {
  /** Operations yet to take effect that saw the value. */
  readonly #waiting = new Map<Value, number>();
  readonly #named = new Set<Value>();

  constructor(operations: readonly Operation[]) {
    for (const operation of operations) {
      const seen = seenBy(operation);
      if (seen !== undefined) this.#waiting.set(seen, (this.#waiting.get(seen) ?? 0) + 1);
      if (operation.kind.type === 'swap') this.#named.add(operation.kind.expected);
      else if (seen !== undefined) this.#named.add(seen);
    }
  }

  /** The state after the operation, or undefined where it cannot take effect now. */
  allow(state: State, operation: Operation): State | undefined {
    const after = apply(state, operation);
    if (after === undefined || after === state || state === ABSENT) return after;
    const others = (this.#waiting.get(state) ?? 0) - (seenBy(operation) === state ? 1 : 0);
    return others > 0 ? undefined : after;
  }

  /** The operation took effect (1), or did not after all (-1). */
  take(operation: Operation, count: 1 | -1): void {
    const seen = seenBy(operation);
    if (seen !== undefined) this.#waiting.set(seen, this.#waiting.get(seen)! - count);
  }

  /** States that no operation can tell apart have one class. */
  classOf(state: State): string {
    return state === ABSENT || this.#named.has(state) ? String(state) : '*';
  }
}

/** The value that it proves to have been there. */
function seenBy({ kind, outcome }: Operation): Value | undefined {
  if (outcome !== 'ok') return undefined;
  if (kind.type === 'read') return kind.value;
  return kind.type === 'swap' ? kind.expected : undefined;
}

/** Operations of unknown outcome that are alike in all that they can do, apart from when they began. */
function classOf({ kind }: Operation, witnesses: Witnesses): string {
  const value = 'value' in kind && kind.value !== undefined ? witnesses.classOf(kind.value) : '';
  return `${kind.type} ${kind.type === 'swap' ? kind.expected : ''} ${value}`;
}

/** Ids: those of known outcome count from 0 in the order of their starts; those of unknown outcome from the end of these. */
function link(operations: readonly Operation[]): { readonly head: Entry; readonly known: number } {
  const sorted = operations.toSorted((a, b) => a.startMs - b.startMs);
  const [sure, unsure] = [
    sorted.filter(({ outcome }) => outcome !== 'unknown'),
    sorted.filter(({ outcome }) => outcome === 'unknown'),
  ];
  const entries = [...sure, ...unsure].flatMap((operation, id) => {
    const end: Entry = { id, isStart: false, operation, end: undefined, previous: undefined, next: undefined };
    return [{ id, isStart: true, operation, end, previous: undefined, next: undefined } satisfies Entry, end];
  });
  const timeOf = ({ isStart, operation }: Entry) =>
    isStart ? operation.startMs : operation.outcome === 'unknown' ? Number.POSITIVE_INFINITY : operation.endMs;
  // What starts in the very instant in which another ends may have overlapped with it.
  entries.sort((a, b) => timeOf(a) - timeOf(b) || Number(b.isStart) - Number(a.isStart));
  const head = { id: -1, isStart: false, operation: operations[0]!, end: undefined, previous: undefined } as Entry;
  let last = head;
  for (const entry of entries) {
    entry.previous = last;
    last.next = entry;
    last = entry;
  }
  return { head, known: sure.length };
}

function add(done: Done, { id, operation }: Entry, known: number, witnesses: Witnesses): Done {
  if (id >= known) return { ...done, unknown: [...done.unknown, classOf(operation, witnesses)].sort() };
  const beyond = new Set(done.beyond).add(id);
  let { below } = done;
  while (beyond.delete(below)) below++;
  return { below, beyond: [...beyond].sort((a, b) => a - b), unknown: done.unknown };
}

function lift(entry: Entry): void {
  for (const one of [entry, entry.end!]) {
    one.previous!.next = one.next;
    if (one.next !== undefined) one.next.previous = one.previous;
  }
}

function unlift(entry: Entry): void {
  for (const one of [entry.end!, entry]) {
    one.previous!.next = one;
    if (one.next !== undefined) one.next.previous = one;
  }
}

function around(operations: readonly Operation[], { startMs, endMs }: Operation): Operation[] {
  const near = operations.filter((one) => one.startMs <= endMs && one.endMs >= startMs - 1000);
  return near.toSorted((a, b) => a.startMs - b.startMs).slice(-STUCK_CONTEXT * 2);
}
