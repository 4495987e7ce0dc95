import { describe, expect, it } from 'vitest';
import { CostBudget, compileExpression, evaluate } from '../compile.ts';
import { createEnvironment } from '../environment.ts';
import { DYN, opaque } from '../types/cel-type.ts';
import { AUTHORIZER_TYPE, CelAuthorizer } from './authorization.ts';
import { JSON_PATCH_FUNCTIONS } from './json-patch.ts';

const ENVIRONMENT = createEnvironment({
  variables: { o: DYN, authorizer: opaque(AUTHORIZER_TYPE) },
  functions: JSON_PATCH_FUNCTIONS,
});

/** Allows what it is asked about `pods` in `n`, and reading `/healthz`. */
const AUTHORIZER = new CelAuthorizer(
  {
    name: 'test',
    authorize: ({ user, verb, resource, namespace, path, isResourceRequest }) => {
      const isAllowed = isResourceRequest
        ? resource === 'pods' && namespace === 'n' && (user.name === 'ann' || user.name === 'system:serviceaccount:a:b')
        : path === '/healthz' && verb === 'get';
      return { decision: isAllowed ? 'allow' : 'noOpinion', reason: isAllowed ? 'by test' : '' };
    },
  },
  { name: 'ann', groups: [] },
);

function run(source: string) {
  const result = compileExpression(source, ENVIRONMENT);
  if (!result.ok) throw new Error(result.message);
  return evaluate(result.expression, { o: 1n, authorizer: AUTHORIZER }, new CostBudget(1e8));
}

describe('libraries', () => {
  it.each([
    // Strings, positions in code points.
    '"a😀c".charAt(1) == "😀" && "ab".charAt(2) == "" && "a😀c".indexOf("c") == 2 && "hello mellow".indexOf("ello", 2) == 7',
    '"hello mellow".indexOf("", 2) == 2 && "hello mellow".lastIndexOf("ello") == 7 && "hello mellow".lastIndexOf("ello", 6) == 1',
    '"hello mellow".lastIndexOf("") == 12 && "abc".indexOf("x") == -1 && "abc".lastIndexOf("x") == -1',
    '"TacoCÆt".lowerAscii() == "tacocÆt" && "tacoCæt".upperAscii() == "TACOCæT"',
    '"hello hello".replace("he", "we") == "wello wello" && "hello hello".replace("he", "we", 1) == "wello hello"',
    '"hello".replace("l", "x", 0) == "hello" && "ab".replace("", "_") == "_a_b_" && "ab".replace("", "_", 2) == "_a_b"',
    '"a b c".split(" ") == ["a", "b", "c"] && "a b c".split(" ", 2) == ["a", "b c"] && "a b".split(" ", 0) == []',
    '"ab".split("") == ["a", "b"] && "a b".split(" ", -1) == ["a", "b"] && "a b".split(" ", 1) == ["a b"]',
    '"tacocat".substring(4) == "cat" && "tacocat".substring(0, 4) == "taco" && "  \\ttrim\\n ".trim() == "trim"',
    '["a", "b"].join() == "ab" && ["a", "b"].join("-") == "a-b" && [].join("/") == ""',
    'strings.quote("a\\"b\\n") == "\\"a\\\\\\"b\\\\n\\""',
    '"%s has %d (%.2f, %x, %X, %b, %o, %%)".format(["o", 3, 1.5, 26, "z", true, 8]) == "o has 3 (1.50, 1a, 7A, 1, 10, %)"',
    '"%s".format([[1, "a", {"k": null, "b": true}]]) == "[1, \\"a\\", {\\"b\\":true, \\"k\\":null}]"',
    '"%s %s".format([duration("90m"), timestamp("2024-01-01T00:00:00Z")]) == "5400s 2024-01-01T00:00:00Z"',
    // Lists.
    '[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1].slice(0, 0) == [] && [1, 2].slice(0, 2) == [1, 2]',
    '[[1], [2, 3], []].flatten() == [1, 2, 3] && dyn([dyn(1), [dyn(2), [3]]]).flatten() == [dyn(1), 2, [3]]',
    '[dyn(1), [dyn(2), [dyn(3), [4]]]].flatten(2) == [dyn(1), 2, 3, [4]] && [[1]].flatten(0) == [[1]] && [[[]]].flatten(7) == []',
    '[1, 2, 2, 1].distinct() == [1, 2] && ["b", "a", "b"].distinct() == ["b", "a"] && [dyn(1), dyn(1.0), dyn(2u)].distinct() == [1, 2]',
    '[5, 3, 1].reverse() == [1, 3, 5] && lists.range(4) == [0, 1, 2, 3] && lists.range(0) == [] && lists.range(-3) == []',
    '[3, 1, 2].sort() == [1, 2, 3] && ["b", "a"].sort() == ["a", "b"] && [true, false].sort() == [false, true] && dyn([]).sort() == []',
    '[{"n": dyn("b"), "s": 2}, {"n": dyn("a"), "s": 3}, {"n": dyn("c"), "s": 1}].sortBy(e, e.s).map(e, e.n) == ["c", "b", "a"]',
    '["ccc", "a", "bb", "d"].sortBy(s, size(s)) == ["a", "d", "bb", "ccc"] && [1, 2].map(x, -x).sortBy(x, x) == [-2, -1]',
    '[[2, 1], [0]].sortBy(l, l.sortBy(x, x)[0]) == [[0], [2, 1]] && lists.range(3).map(x, x * x).exists(x, x == 4)',
    '[1, 2].first() == optional.of(1) && [1, 2].last().value() == 2 && !dyn([]).first().hasValue() && [].last() == optional.none()',
    '[optional.of(1), optional.none(), optional.of(2)].unwrapOpt() == [1, 2] && optional.unwrap([optional.of(null)]) == [null]',
    // URLs.
    'url("https://u@example.com:8080/a b?x=1&x=2&y=").getHost() == "example.com:8080"',
    'url("https://[::1]:80/p").getHostname() == "::1" && url("https://[::1]:80/p").getPort() == "80"',
    'url("/path").getScheme() == "" && url("https://e.com/a%20b").getEscapedPath() == "/a%20b" && url("/a b").getEscapedPath() == "/a%20b"',
    'url("https://e.com/?x=1&x=2").getQuery() == {"x": ["1", "2"]} && url("https://e.com").getEscapedPath() == ""',
    'isURL("/absolute") && isURL("https://e.com") && !isURL("relative") && !isURL("https://e.com:port/") && !isURL("")',
    // Quantities.
    'quantity("1Gi").isGreaterThan(quantity("1G")) && quantity("50k").add(20) == quantity("50020") && isQuantity("1.5")',
    'quantity("1.5").isInteger() == false && quantity("2k").asInteger() == 2000 && !isQuantity("1.5x") && quantity("-1").sign() == -1',
    'quantity("100m").compareTo(quantity("0.1")) == 0 && quantity("1.5").asApproximateFloat() == 1.5 && quantity("3").sub(quantity("1")) == quantity("2")',
    // Addresses.
    'ip("10.0.0.1").family() == 4 && ip("::1").isLoopback() && ip("fe80::1").isLinkLocalUnicast() && string(ip("::1")) == "::1"',
    'isIP("1.2.3.4") && !isIP("::ffff:1.2.3.4") && !isIP("1.2.3") && ip.isCanonical("2001:db8::1") && !ip.isCanonical("2001:DB8::1")',
    'ip("8.8.8.8").isGlobalUnicast() && ip("0.0.0.0").isUnspecified() && ip("224.0.0.1").isLinkLocalMulticast() && type(ip("::1")) == net.IP',
    'cidr("10.0.0.0/8").containsIP("10.1.2.3") && cidr("10.0.0.0/8").containsIP(ip("10.1.2.3")) && !isCIDR("10.0.0.0/33")',
    'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.1.0.0/16").containsCIDR(cidr("10.0.0.0/8"))',
    'cidr("10.1.2.3/8").ip() == ip("10.1.2.3") && cidr("10.1.2.3/8").masked() == cidr("10.0.0.0/8") && cidr("::/64").prefixLength() == 64',
    'string(cidr("10.1.2.3/8")) == "10.1.2.3/8"',
    // Formats.
    '!format.dns1123Label().validate("my-label").hasValue() && format.dns1123Label().validate("My").hasValue()',
    '!format.named("dns1123LabelPrefix").value().validate("a-").hasValue() && !format.named("q").hasValue()',
    '!format.uuid().validate("123e4567-e89b-12d3-a456-426614174000").hasValue() && format.byte().validate("a").value() == ["invalid base64"]',
    '!format.date().validate("2024-02-29").hasValue() && format.datetime().validate("2024").hasValue() && format.uri().validate("a").hasValue()',
    // Versions.
    'semver("1.2.3").isLessThan(semver("1.10.0")) && semver("1.0.0-alpha").isLessThan(semver("1.0.0")) && isSemver("v1.0", true)',
    '!isSemver("v1.0") && !isSemver("1.02.3") && semver("01.1", true) == semver("1.1.0") && semver("1.2.3").patch() == 3',
    'semver("1.0.0-2").compareTo(semver("1.0.0-11")) == -1 && semver("1.0.0-alpha.1").isGreaterThan(semver("1.0.0-alpha"))',
    // Times.
    'timestamp("2024-03-01T12:34:56.789Z").getDayOfYear() == 60 && timestamp("2024-03-01T12:34:56.789Z").getMonth() == 2',
    'timestamp("2024-03-01T12:34:56.789Z").getMilliseconds() == 789 && timestamp("2024-03-01T23:00:00Z").getDate("+02:00") == 2',
    'timestamp("2024-07-01T00:00:00Z").getHours("Europe/Berlin") == 2 && timestamp("2024-03-01T00:00:00Z").getDayOfWeek() == 5',
    'duration("90m").getHours() == 1 && duration("90m").getMinutes() == 90 && duration("1234ms").getMilliseconds() == 234',
    // Authorization.
    'authorizer.group("").resource("pods").namespace("n").check("create").allowed()',
    '!authorizer.group("").resource("pods").subresource("exec").namespace("m").name("x").check("create").allowed()',
    'authorizer.serviceAccount("a", "b").group("").resource("pods").namespace("n").check("get").reason() == "by test"',
    'authorizer.path("/healthz").check("get").allowed() && !authorizer.path("/healthz").check("post").allowed()',
    '!authorizer.group("").resource("pods").check("get").errored() && authorizer.group("").resource("pods").check("get").error() == ""',
    'jsonpatch.escapeKey("a/b~c") == "a~1b~0c"',
  ])('hold: %s', (source) => {
    expect(run(source)).toBe(true);
  });

  it.each([
    ['"abc".charAt(-1)', 'index out of range: -1'],
    ['"abc".substring(2, 1)', 'invalid substring range. start: 2, end: 1'],
    ['[1, 2].slice(-1, 1)', 'cannot slice(-1, 1), negative indexes not supported'],
    ['[1, 2].slice(2, 1)', 'cannot slice(2, 1), start index must be less than or equal to end index'],
    ['[1, 2].slice(0, 3)', 'cannot slice(0, 3), list is length 2'],
    ['[[1]].flatten(-1)', 'level must be non-negative'],
    ['[dyn(1), dyn("a")].sort()', 'list elements must have the same type'],
    ['dyn([[1]]).sort()', 'list elements must be comparable'],
    ['optional.unwrap([dyn(1)])', 'value of type int is not optional'],
    ['lists.range(9000000).size()', 'cost limit exceeded'],
    ['"%d".format(["a"])', 'decimal clause can only be used on integers, was given string'],
    ['"%s %s".format([1])', 'index 1 out of range'],
    ['"%.200f".format([1.0])', 'precision 200 exceeds maximum allowed precision of 100'],
    ['url("a")', 'URL parse error during conversion from string: parse "a": invalid URI for request'],
    ['quantity("1x")', 'quantities must match the regular expression'],
    ['quantity("1.5").asInteger()', 'cannot convert value to integer'],
    ['ip("::ffff:1.2.3.4")', 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'],
    ['semver("1")', 'invalid semantic version "1"'],
    ['timestamp("2024-01-01T00:00:00Z").getHours("Nowhere/Town")', 'unknown time zone Nowhere/Town'],
    ['{"a": 1}.transformMapEntry(k, v, {"x": v}).map(k, k)[3]', 'index out of bounds: 3'],
  ])('fail: %s', (source, message) => {
    expect(() => run(source)).toThrow(message);
  });
});
