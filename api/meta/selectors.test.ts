import { describe, expect, it } from 'vitest';
import { parseFieldSelector } from './field-selector.ts';
import { labelSelectorFrom, parseLabelSelector, selectorFromLabels } from './label-selector.ts';

describe('label selector text', () => {
  const cases: { text: string; canonical?: string; yes: Record<string, string>[]; no: Record<string, string>[] }[] = [
    { text: '', yes: [{}, { a: 'b' }], no: [] },
    { text: 'a=b', yes: [{ a: 'b' }], no: [{}, { a: 'c' }] },
    { text: 'a == b', canonical: 'a==b', yes: [{ a: 'b' }], no: [{ a: '' }] },
    { text: 'a!=b', yes: [{}, { a: 'c' }], no: [{ a: 'b' }] },
    { text: 'a in (x, y)', canonical: 'a in (x,y)', yes: [{ a: 'x' }, { a: 'y' }], no: [{}, { a: 'z' }] },
    { text: 'a notin (x)', yes: [{}, { a: 'z' }], no: [{ a: 'x' }] },
    { text: 'a in (,x)', yes: [{ a: '' }, { a: 'x' }], no: [{}] },
    { text: 'a', yes: [{ a: '' }], no: [{}] },
    { text: '!a', yes: [{}], no: [{ a: '' }] },
    { text: 'a=', yes: [{ a: '' }], no: [{}, { a: 'x' }] },
    { text: 'a>5,a<10', yes: [{ a: '7' }], no: [{ a: '5' }, { a: '10' }, { a: 'x' }, {}] },
    { text: 'b=1,a=2', canonical: 'a=2,b=1', yes: [{ a: '2', b: '1' }], no: [{ a: '2' }] },
    { text: 'in in (in,notin)', yes: [{ in: 'notin' }], no: [{}] },
    { text: 'constructor', yes: [{ constructor: 'x' }], no: [{}] },
    { text: 'example.com/role=a', yes: [{ 'example.com/role': 'a' }], no: [{}] },
  ];
  for (const { text, canonical = text, yes, no } of cases) {
    it(`reads "${text}"`, () => {
      const selector = parseLabelSelector(text);
      expect(selector.toString()).toBe(canonical);
      expect(yes.map((labels) => selector.matches(labels))).toEqual(yes.map(() => true));
      expect(no.map((labels) => selector.matches(labels))).toEqual(no.map(() => false));
    });
  }

  const refused: [string, string][] = [
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a,', "found '', expected: identifier after ','"],
    ['a in x', "unable to parse requirement: found 'x' expected: '('"],
    ['a in (x', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['=a', "found '=', expected: !, identifier, or 'end of string'"],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['a=-', 'unable to parse requirement: values[0][a]: Invalid value: "-": a valid label must be'],
    ['-a=b', 'unable to parse requirement: key: Invalid value: "-a": name part must consist of'],
    ['a>x', "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators"],
  ];
  for (const [text, message] of refused) {
    it(`refuses "${text}"`, () => expect(() => parseLabelSelector(text)).toThrow(message));
  }
});

describe('label selector object', () => {
  it('selects nothing when missing and everything when empty', () => {
    expect(labelSelectorFrom(undefined).matches({})).toBe(false);
    expect(labelSelectorFrom({}).matches({ a: 'b' })).toBe(true);
    expect(labelSelectorFrom({}).isEmpty).toBe(true);
    expect(labelSelectorFrom(undefined).isEmpty).toBe(false);
  });
  it('joins labels and expressions', () => {
    const selector = labelSelectorFrom({
      matchLabels: { a: '1' },
      matchExpressions: [
        { key: 'b', operator: 'In', values: ['y', 'x'] },
        { key: 'c', operator: 'DoesNotExist' },
      ],
    });
    expect(selector.toString()).toBe('a=1,b in (x,y),!c');
    expect(selector.matches({ a: '1', b: 'x' })).toBe(true);
    expect(selector.matches({ a: '1', b: 'x', c: '' })).toBe(false);
  });
  it('refuses an operator that Kubernetes does not have', () => {
    expect(() => labelSelectorFrom({ matchExpressions: [{ key: 'a', operator: 'Near' }] })).toThrow(
      '"Near" is not a valid label selector operator',
    );
  });
  it('takes a plain label map', () => {
    expect(selectorFromLabels({ b: '1', a: '2' }).toString()).toBe('a=2,b=1');
  });
});

describe('field selector', () => {
  const fields = { 'metadata.name': 'x', 'spec.nodeName': '', odd: 'a,b=c\\d' };
  const cases: [string, boolean][] = [
    ['', true],
    ['metadata.name=x', true],
    ['metadata.name==x,spec.nodeName=', true],
    ['metadata.name!=x', false],
    ['spec.nodeName!=', false],
    ['absent=', true],
    ['odd=a\\,b\\=c\\\\d', true],
  ];
  for (const [text, matches] of cases) {
    it(`${matches ? 'matches' : 'excludes'} by "${text}"`, () =>
      expect(parseFieldSelector(text).matches(fields)).toBe(matches));
  }
  it('tells what an index can serve', () => {
    const selector = parseFieldSelector('spec.nodeName=n1,metadata.name!=x');
    expect(selector.exactMatch('spec.nodeName')).toBe('n1');
    expect(selector.exactMatch('metadata.name')).toBeUndefined();
  });
  it('refuses what it cannot understand', () => {
    expect(() => parseFieldSelector('a=b,c')).toThrow("invalid selector: 'a=b,c'; can't understand 'c'");
    expect(() => parseFieldSelector('a=b\\x')).toThrow('invalid escape sequence');
  });
});
