/** A set of code points: sorted, disjoint ranges. */
export type CharRanges = readonly (readonly [number, number])[];

export type CharTest = (codePoint: number) => boolean;

export const inRanges =
  (ranges: CharRanges): CharTest =>
  (code) =>
    ranges.some(([from, to]) => code >= from && code <= to);

export const not =
  (test: CharTest): CharTest =>
  (code) =>
    !test(code);

/** Both cases of a character; Unicode's simple folding, as far as JavaScript's case mapping is one to one. */
export function folded(test: CharTest): CharTest {
  return (code) => {
    if (test(code)) return true;
    const text = String.fromCodePoint(code);
    return [text.toLowerCase(), text.toUpperCase()].some(
      (other) => other !== text && Array.from(other).length === 1 && test(other.codePointAt(0) as number),
    );
  };
}

export const PERL: Readonly<Record<string, CharRanges>> = {
  d: [[48, 57]],
  s: [
    [9, 10],
    [12, 13],
    [32, 32],
  ],
  w: [
    [48, 57],
    [65, 90],
    [95, 95],
    [97, 122],
  ],
};

export const POSIX: Readonly<Record<string, CharRanges>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: [[48, 57]],
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[65, 90]],
  word: PERL.w as CharRanges,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
};

/** A general category (`L`, `Lu`) or script (`Greek`). JavaScript knows the tables; one character at a time, so in constant time. */
export function unicodeTest(name: string): CharTest | undefined {
  if (name === 'Any') return () => true;
  if (!/^\w+$/.test(name)) return undefined;
  for (const property of [`General_Category=${name}`, `Script=${name}`]) {
    try {
      const pattern = new RegExp(`^\\p{${property}}$`, 'u');
      return (code) => pattern.test(String.fromCodePoint(code));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}
