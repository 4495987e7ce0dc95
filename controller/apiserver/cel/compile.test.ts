import { describe, expect, it } from 'vitest';
import { type CompiledExpression, CostBudget, compileExpression, evaluate } from './compile.ts';
import { createEnvironment } from './environment.ts';
import { PER_CALL_LIMIT } from './limits.ts';
import { DYN, INT, listOf, STRING } from './types/cel-type.ts';
import { CelBudgetError } from './values/evaluation-error.ts';
import { fromJson } from './values/json-values.ts';

const ENVIRONMENT = createEnvironment({ variables: { o: DYN, names: listOf(STRING), n: INT } });
const OBJECT = { a: 1, f: 1.5, l: [1, 2, 3], s: 'abc', m: { x: 'y' }, nothing: null };

function compiled(source: string): CompiledExpression {
  const result = compileExpression(source, ENVIRONMENT);
  if (!result.ok) throw new Error(result.message);
  return result.expression;
}

function run(source: string, budget = new CostBudget(Number.POSITIVE_INFINITY)) {
  const names = fromJson(['b', 'a']);
  return evaluate(compiled(source), { o: () => fromJson(OBJECT), names, n: 7n }, budget);
}

const messageOf = (source: string): string | undefined => {
  const result = compileExpression(source, ENVIRONMENT);
  return result.ok ? undefined : result.message;
};

describe('evaluate', () => {
  it.each([
    // Literals and operators.
    'r"\\d" == "\\\\d" && "\\u00e9\\x41" == "éA" && """a"b""" == "a\\"b"',
    'b"\\xff" + b"é" == b"\\xff\\303\\251"',
    '-9223372036854775808 < 9223372036854775807 && 0x10 == 16 && 5u == 2u + 3u && 1e3 == 1000.0',
    '7 / -2 == -3 && 7 % -2 == 1 && -7 % 2 == -1 && 2 + 3 * 4 == 14',
    '1 < 1.5 && 2u > 1 && 1.0 <= 1u && dyn(1) == 1.0 && !(dyn(1) == "1")',
    'n == 7 ? true : o.missing',
    '!!true && --3 == 3',
    '"\\ud7ff" < "😀" && "😀" > "\\uffee" && size("😀") == 1',
    // Lists, maps, presence.
    'o.l[0] == 1 && o["a"] == 1 && 2 in o.l && "x" in o.m && !("q" in o.m)',
    'has(o.a) && !has(o.q) && has(o.nothing) && o.nothing == null',
    '[1, 2] + [3] == o.l && {"x": "y"} == o.m && {1: "a"}[1] == "a"',
    'size(o.l) == 3 && o.l.size() == 3 && size(o.s) == 3 && size(o.m) == 1',
    // Macros.
    'o.l.all(x, x > 0) && o.l.exists(x, x == 2) && o.l.exists_one(x, x == 2) && o.m.all(k, k == "x")',
    'o.l.map(x, x * 2) == [2, 4, 6] && o.l.map(x, x > 1, x * 2) == [4, 6] && o.l.filter(x, x != 2) == [1, 3]',
    'o.l.all(i, v, v == i + 1) && o.m.exists(k, v, k == "x" && v == "y") && o.l.existsOne(i, v, i == 0)',
    'o.l.transformList(i, v, i * v) == [0, 2, 6] && o.l.transformList(i, v, i > 0, v) == [2, 3]',
    'o.m.transformMap(k, v, k + v) == {"x": "xy"} && o.m.transformMapEntry(k, v, {v: k}) == {"y": "x"}',
    '[[1, 2], [3]].map(l, l.map(x, x + size(l))) == [[3, 4], [4]]',
    // Errors that do not count.
    'o.missing == 1 || true',
    '!(o.missing == 1 && false)',
    'o.l.exists(x, 1 / (x - 1) > 0)',
    '!o.l.all(x, 1 / (x - 1) > 5)',
    // Optionals.
    'o.?q.orValue(4) == 4 && o.?a.value() == 1 && o[?"q"].or(optional.of(3)).value() == 3 && !o.?q.?r.hasValue()',
    'o.?m.?x.optMap(v, v + "!").orValue("") == "y!" && o.?m.optFlatMap(m, m.?q) == optional.none()',
    '[?o.?q, ?o.?a] == [1] && {?"k": o.?q} == {} && o.?l[1].value() == 2 && optional.ofNonZeroValue("") == optional.none()',
    // Types and conversions.
    'type(1) == int && type("") == string && type([]) == list && type(o.m) == map && type(type(1)) == type',
    'int("12") == 12 && int(3.9) == 3 && uint(3) == 3u && double("1.5") == 1.5 && string(1.0) == "1" && bool("true")',
    'string(1e21) == "1e+21" && string(0.00001) == "1e-05" && string(b"abc") == "abc" && bytes("a") == b"a"',
    'timestamp("2024-02-29T12:00:00.5+02:00") == timestamp("2024-02-29T10:00:00.500Z")',
    'timestamp("2024-01-01T00:00:00Z") + duration("1h30m") == timestamp("2024-01-01T01:30:00Z")',
    'duration("1.5s") < duration("2s") && string(duration("90m")) == "5400s" && duration("-1h") < duration("0")',
    // Kubernetes' lists and sets.
    '[1, 2].isSorted() && ![2, 1].isSorted() && [1, 3, 2].max() == 3 && names.min() == "a" && [1.5, 2.5].sum() == 4.0',
    '[].sum() == 0 && o.l.sum() == 6 && names.indexOf("a") == 1 && names.lastIndexOf("q") == -1',
    'sets.contains(o.l, [1, 2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], o.l)',
    // Regular expressions.
    'o.s.matches("^a.c$") && !o.s.matches("^b") && "a1b22".find("[0-9]+") == "1" && "a1b22".findAll("[0-9]+") == ["1", "22"]',
    '"a1b22".findAll("[0-9]", 2) == ["1", "2"] && "abc".find("x") == ""',
  ])('holds: %s', (source) => {
    expect(run(source)).toBe(true);
  });

  it.each([
    ['o.q', 'no such key: q'],
    ['o.l[5]', 'index out of bounds: 5'],
    ['o.m["q"]', 'no such key: q'],
    ['1 / 0', 'division by zero'],
    ['9223372036854775807 + n', 'integer overflow'],
    ['o.a + o.s', 'no such overload'],
    ['o.a && true', 'no such overload'],
    ['o.s.foo', 'no such overload'],
    ['int("x")', "type conversion error from 'string' to 'int'"],
    ['optional.none().value()', 'optional.none() dereference'],
    ['o.s.matches(o.s + "(")', 'error parsing regexp: missing closing ): `abc(`'],
    ['o.l.exists_one(x, 1 / (x - 1) > 0)', 'division by zero'],
    ['[].max()', 'max called on empty list'],
  ])('fails: %s', (source, message) => {
    expect(() => run(source)).toThrow(message);
  });

  it('asks for a variable once, and only when it is read', () => {
    let asked = 0;
    const o = () => {
      asked++;
      return 1n;
    };
    const activation = { o, names: fromJson([]), n: 1n };
    evaluate(compiled('n == 2 && o == 1'), activation, new CostBudget(1000));
    expect(asked).toBe(0);
    evaluate(compiled('o == 1 && o == 1'), activation, new CostBudget(1000));
    expect(asked).toBe(1);
  });
});

describe('compileExpression', () => {
  it.each([
    [
      '1 + "a"',
      "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + \"a\"\n | ..^",
    ],
    ['n.foo', "ERROR: <input>:1:2: type 'int' does not support field selection\n | n.foo\n | .^"],
    ['foo', "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"],
  ])('points at the mistake in %s', (source, message) => {
    expect(messageOf(source)).toBe(message);
  });

  it.each([
    ['n == 1.0', "applied to '(int, double)'"],
    ['names.all(x, x > 1)', "applied to '(string, int)'"],
    ['n.all(x, true)', 'cannot be range of a comprehension'],
    ['names.all(x, 1)', "found no matching overload for '_&&_' applied to '(bool, int)'"],
    ['[1, "a"]', "expected type 'int' but found 'string'"],
    ['names.startsWith("a")', "found no matching overload for 'startsWith' applied to 'list(string).(string)'"],
    ['has(n)', 'invalid argument to has() macro'],
    ['names.all(x.y, true)', 'argument must be a simple name'],
    ['o.s.matches("(")', 'invalid matches argument'],
    ['duration("1q") > duration("1s")', 'invalid duration argument'],
    ['if', 'reserved identifier: if'],
    ['n ==', 'Syntax error'],
    ['9223372036854775808', 'invalid int literal'],
    ['"abc', 'token recognition error'],
    [`${'('.repeat(300)}1${')'.repeat(300)}`, 'recursion limit'],
    [`1${' + 1'.repeat(300)}`, 'recursion limit'],
    ['a'.repeat(100_001), 'expression code point size exceeds limit'],
  ])('refuses %s', (source, message) => {
    expect(messageOf(source)).toContain(message);
  });

  it('takes chains of && and || of any length', () => {
    expect(run(Array.from({ length: 5000 }, () => 'n == 1').join(' || '))).toBe(false);
  });
});

describe('costs', () => {
  it.each([
    ['true', 0],
    ['n == 7', 2],
    ['o.m.x == "y"', 4],
    ['[n, 1]', 11],
    ['{"a": n}', 31],
    ['[1, 2, 3].all(x, x > 0)', 16],
    ['o.s.matches("abcd")', 3],
    ['names.map(x, x) == names', 30],
    // cel-go's prices: 11 for the call and its list, and then by element.
    ['[1, 2, 3, 4].slice(1, 3)', 13],
    ['dyn([1, 2]).flatten()', 14],
    ['dyn([1, 2]).flatten(2)', 16],
    ['[1, 2, 3].reverse()', 14],
    ['lists.range(7)', 18],
    ['[1, 2, 3].distinct()', 29],
    ['["a", "b", "c"].sort()', 29],
    ['[3, 2].sort()', 19],
  ])('of %s is %d', (source, cost) => {
    const budget = new CostBudget(1000);
    run(source, budget);
    expect(1000 - budget.remaining).toBe(cost);
  });

  const NESTED = 'l.all(a, l.all(b, l.all(c, a + b + c >= 0)))';

  it('stop an expression that is too dear, and even its errors are not absorbed', () => {
    const l = fromJson(Array.from({ length: 300 }, (_, index) => index));
    const environment = createEnvironment({ variables: { l: DYN } });
    const result = compileExpression(`${NESTED} || true`, environment);
    if (!result.ok) throw new Error(result.message);
    const budget = new CostBudget(PER_CALL_LIMIT * 3);
    expect(() => evaluate(result.expression, { l }, budget)).toThrow('operation cancelled: actual cost limit exceeded');
    expect(budget.remaining).toBeLessThan(PER_CALL_LIMIT * 2);
  }, 30_000);

  it('stop everything once the budget of the object is gone', () => {
    const budget = new CostBudget(5);
    run('o.m.x == "y"', budget);
    run('o.m.x == "y"', budget);
    expect(() => run('true', budget)).toThrow(CelBudgetError);
  });

  it('of a map that grows do not hold the square of its size', () => {
    const entries = 50_000;
    const before = process.cpuUsage();
    expect(run(`lists.range(${entries}).transformMap(i, x, x).size()`)).toBe(BigInt(entries));
    // A copy for each entry would take half a minute.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(5_000);
  });

  it('bound what a pattern with counted repetitions may do', () => {
    const expression = compiled(`"${'a'.repeat(1000)}".matches("^(((a?){50}){20}b)")`);
    const judge = (perCallLimit: number) => evaluate(expression, {}, new CostBudget(1e9), { perCallLimit });
    expect(() => judge(10_000)).toThrow('cost limit exceeded');
    expect(judge(1_000_000)).toBe(false);
  });

  const double = (start: string, times: number): string =>
    times === 0
      ? start
      : `optional.of(${double(start, times - 1)}).optMap(v, ${start.startsWith('[') ? 'v + v' : '[v, v]'}).value()`;

  it.each([
    ['lists put together', `size(${double('[1, 2, 3]', 40)})`, 'list is too large'],
    ['values that share their parts', `${double('n', 40)} == ${double('n', 40)}`, 'cost limit exceeded'],
    ['their traversal', `[dyn(${double('n', 40)})].indexOf(dyn(n))`, 'cost limit exceeded'],
    ['their text', `"%s".format([${double('n', 40)}])`, 'string is too large'],
    ['replacements', `"${'a'.repeat(40_000)}".replace("a", "${'b'.repeat(40_000)}")`, 'string is too large'],
    ['joined texts', `[${'"b",'.repeat(900)}].map(x, "${'b'.repeat(50_000)}").join("")`, 'cost limit exceeded'],
    [
      'flattened lists',
      `[${double('[1]', 23)}].flatten().size() + [[${double('[1]', 22)}]].flatten(2).size()`,
      'cost limit exceeded',
    ],
    ['ranges', 'lists.range(1000000000000)', 'cost limit exceeded'],
    ['distinct elements', 'lists.range(100000).distinct()', 'cost limit exceeded'],
    [
      'short texts that are read',
      'optional.of(lists.range(20000).map(x, "a")).optMap(w, lists.range(1000).all(x, w.isSorted())).value()',
      'cost limit exceeded',
    ],
    [
      'characters of a long text',
      `lists.range(10000).all(x, "${'a'.repeat(99_000)}".charAt(x) == "a")`,
      'cost limit exceeded',
    ],
    [
      'sets of things that cost nothing',
      'sets.contains(lists.range(3000).map(x, [x].filter(y, y < 0)) + [[1]], lists.range(3000).map(x, [1]))',
      'cost limit exceeded',
    ],
    ['sets', `sets.contains(${double('[1]', 16)}, ${double('[2]', 16)})`, 'cost limit exceeded'],
  ])(
    'bound what is made of little: %s',
    (_, source, message) => {
      expect(() => run(source)).toThrow(message);
    },
    // A full budget takes seconds where other suites run beside this one.
    30_000,
  );
});
