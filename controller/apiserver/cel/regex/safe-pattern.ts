import { type Assertion, PatternError, type PatternNode, parsePattern } from './pattern-syntax.ts';

/**
 * Instructions of one pattern. Repetitions are unrolled, so this bounds what `((a{100}){100}){100}` may become; RE2's bound is on memory
 * and in the same region.
 */
const MAX_PROGRAM = 20_000;
/** Compiled patterns that are kept; rules name few, but each is used for every object. */
const MAX_CACHED = 256;

type Instruction =
  | { readonly op: 'chars'; readonly matches: (codePoint: number) => boolean }
  | { readonly op: 'assert'; readonly assertion: Assertion }
  /** Tries `first` before `second`. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'match' };

/** Told after every character how many instructions were looked at; may throw to give up. */
export type OnSteps = (steps: number) => void;

/** A span of code points; `end` is exclusive. */
export interface PatternSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * A regular expression with RE2's syntax and guarantee: time grows with pattern times text, whatever both look like. JavaScript's own
 * engine backtracks and would let one rule stop the API server. It simulates all ways at once (Pike); the first in priority wins, as in RE2 and Perl.
 */
export class SafePattern {
  readonly #program: readonly Instruction[];

  private constructor(program: readonly Instruction[]) {
    this.#program = program;
  }

  static readonly #cache = new Map<string, SafePattern>();

  /** Throws PatternError. */
  static compile(source: string): SafePattern {
    const cached = SafePattern.#cache.get(source);
    if (cached !== undefined) return cached;
    const pattern = new SafePattern(compileProgram(parsePattern(source), source));
    if (SafePattern.#cache.size >= MAX_CACHED) SafePattern.#cache.clear();
    SafePattern.#cache.set(source, pattern);
    return pattern;
  }

  /** True when any part of the text matches. */
  test(text: string, onSteps?: OnSteps): boolean {
    return this.#run(codePointsOf(text), { from: 0, anyMatch: true, onSteps }) !== undefined;
  }

  /** The matched parts from left to right, at most `limit` of them; empty matches are counted like in Go. */
  findAll(text: string, limit = Number.POSITIVE_INFINITY, onSteps?: OnSteps): string[] {
    const codes = codePointsOf(text);
    const found: string[] = [];
    let at = 0;
    let lastEnd = -1;
    while (found.length < limit && at <= codes.length) {
      const span = this.#run(codes, { from: at, anyMatch: false, onSteps });
      if (span === undefined) break;
      const isEmpty = span.start === span.end;
      // An empty match right behind another match is none.
      if (!isEmpty || span.start !== lastEnd) {
        found.push(textOf(codes, span));
      }
      lastEnd = span.end;
      at = isEmpty ? span.end + 1 : span.end;
    }
    return found;
  }

  #run(
    codes: Uint32Array,
    {
      from,
      anyMatch,
      onSteps,
    }: { readonly from: number; readonly anyMatch: boolean; readonly onSteps: OnSteps | undefined },
  ): PatternSpan | undefined {
    const program = this.#program;
    let current = new ThreadList(program.length);
    let next = new ThreadList(program.length);
    let best: PatternSpan | undefined;
    for (let at = from; at <= codes.length; at++) {
      let steps = current.size;
      // A new attempt has the lowest priority, and none is needed once something matched.
      if (best === undefined) steps += addThread(program, current, { pc: 0, start: at, codes, at });
      if (current.size === 0 && best !== undefined) break;
      for (let index = 0; index < current.size; index++) {
        const instruction = program[current.pcs[index] as number] as Instruction;
        const start = current.starts[index] as number;
        if (instruction.op === 'match') {
          best = { start, end: at };
          if (anyMatch) return best;
          // What comes later in the list has a lower priority.
          break;
        }
        if (instruction.op === 'chars' && at < codes.length && instruction.matches(codes[at] as number)) {
          steps += addThread(program, next, { pc: (current.pcs[index] as number) + 1, start, codes, at: at + 1 });
        }
      }
      onSteps?.(steps);
      [current, next] = [next, current];
      next.clear();
    }
    return best;
  }
}

/** Places in the program in order of priority, each at most once. */
class ThreadList {
  readonly pcs: Int32Array;
  readonly starts: Int32Array;
  readonly #seen: Int32Array;
  #round = 1;
  size = 0;

  constructor(capacity: number) {
    this.pcs = new Int32Array(capacity);
    this.starts = new Int32Array(capacity);
    this.#seen = new Int32Array(capacity);
  }

  mark(pc: number): boolean {
    if (this.#seen[pc] === this.#round) return false;
    this.#seen[pc] = this.#round;
    return true;
  }

  push(pc: number, start: number): void {
    this.pcs[this.size] = pc;
    this.starts[this.size++] = start;
  }

  clear(): void {
    this.size = 0;
    this.#round++;
  }
}

interface Thread {
  readonly pc: number;
  readonly start: number;
  readonly codes: Uint32Array;
  readonly at: number;
}

/**
 * Follows jumps and splits to the instructions that read a character; answers how many it looked at. Its own stack: programs may be
 * long chains of splits.
 */
function addThread(program: readonly Instruction[], list: ThreadList, { pc, start, codes, at }: Thread): number {
  const stack = [pc];
  let steps = 0;
  while (stack.length > 0) {
    const place = stack.pop() as number;
    steps++;
    if (!list.mark(place)) continue;
    const instruction = program[place] as Instruction;
    switch (instruction.op) {
      case 'jump':
        stack.push(instruction.to);
        break;
      case 'split':
        stack.push(instruction.second, instruction.first);
        break;
      case 'assert':
        if (holds(instruction.assertion, codes, at)) stack.push(place + 1);
        break;
      default:
        list.push(place, start);
    }
  }
  return steps;
}

const isWord = (code: number | undefined): boolean =>
  code !== undefined &&
  ((code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95 || (code >= 97 && code <= 122));

function holds(assertion: Assertion, codes: Uint32Array, at: number): boolean {
  switch (assertion) {
    case 'textStart':
      return at === 0;
    case 'textEnd':
      return at === codes.length;
    case 'lineStart':
      return at === 0 || codes[at - 1] === 10;
    case 'lineEnd':
      return at === codes.length || codes[at] === 10;
    case 'wordBoundary':
      return isWord(codes[at - 1]) !== isWord(codes[at]);
    case 'noWordBoundary':
      return isWord(codes[at - 1]) === isWord(codes[at]);
  }
}

function codePointsOf(text: string): Uint32Array {
  const codes = new Uint32Array(text.length);
  let count = 0;
  for (const character of text) codes[count++] = character.codePointAt(0) as number;
  return codes.subarray(0, count);
}

function textOf(codes: Uint32Array, { start, end }: PatternSpan): string {
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCodePoint(codes[at] as number);
  return text;
}

function compileProgram(root: PatternNode, source: string): Instruction[] {
  const program: Instruction[] = [];
  const emit = (instruction: Instruction): number => {
    if (program.length >= MAX_PROGRAM) throw new PatternError('expression too large', source);
    return program.push(instruction) - 1;
  };
  const split = (isGreedy: boolean) => {
    const at = emit({ op: 'split', first: 0, second: 0 });
    const instruction = program[at] as { first: number; second: number };
    /** `into` is the way through the node, `past` the way around it. */
    return (into: number, past: number) => {
      instruction.first = isGreedy ? into : past;
      instruction.second = isGreedy ? past : into;
    };
  };
  const repeat = (node: Extract<PatternNode, { kind: 'repeat' }>): void => {
    for (let count = 0; count < node.min; count++) {
      const before = program.length;
      generate(node.node);
      // Nothing repeated is nothing; counting it out would take as long as its bounds say.
      if (program.length === before) return;
    }
    if (node.max === Number.POSITIVE_INFINITY) {
      const start = program.length;
      const target = split(node.isGreedy);
      generate(node.node);
      emit({ op: 'jump', to: start });
      target(start + 1, program.length);
      return;
    }
    const targets: ReturnType<typeof split>[] = [];
    const starts: number[] = [];
    for (let count = node.min; count < node.max; count++) {
      targets.push(split(node.isGreedy));
      starts.push(program.length);
      generate(node.node);
    }
    for (const [index, target] of targets.entries()) target(starts[index] as number, program.length);
  };
  const choice = (nodes: readonly PatternNode[]): void => {
    const jumps: { to: number }[] = [];
    for (const [index, node] of nodes.entries()) {
      if (index === nodes.length - 1) {
        generate(node);
        break;
      }
      const target = split(true);
      const start = program.length;
      generate(node);
      jumps.push(program[emit({ op: 'jump', to: 0 })] as { to: number });
      target(start, program.length);
    }
    for (const jump of jumps) jump.to = program.length;
  };
  const generate = (node: PatternNode): void => {
    switch (node.kind) {
      case 'empty':
        return;
      case 'chars':
        emit({ op: 'chars', matches: node.matches });
        return;
      case 'assert':
        emit({ op: 'assert', assertion: node.assertion });
        return;
      case 'sequence':
        for (const part of node.nodes) generate(part);
        return;
      case 'choice':
        choice(node.nodes);
        return;
      case 'repeat':
        repeat(node);
    }
  };
  generate(root);
  emit({ op: 'match' });
  return program;
}
