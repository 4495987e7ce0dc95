/** Sizes and costs whose end is open: Kubernetes counts in 64 bits and stops there. */
export const UNBOUNDED = 2 ** 64;

/** From the cheapest to the dearest case; of sizes and of costs. */
export interface CostRange {
  readonly min: number;
  readonly max: number;
}

export const exactly = (value: number): CostRange => ({ min: value, max: value });
export const NOTHING = exactly(0);
export const UNKNOWN_SIZE: CostRange = { min: 0, max: UNBOUNDED };

const cap = (value: number): number => Math.min(value, UNBOUNDED);

export function add(...ranges: readonly CostRange[]): CostRange {
  let [min, max] = [0, 0];
  for (const range of ranges) {
    min = cap(min + range.min);
    max = cap(max + range.max);
  }
  return { min, max };
}

export const multiply = (a: CostRange, b: CostRange): CostRange => ({
  min: cap(a.min * b.min),
  max: cap(a.max * b.max),
});

/** Times a price per unit, rounded up. */
export const priced = ({ min, max }: CostRange, perUnit: number): CostRange => ({
  min: cap(Math.ceil(min * perUnit)),
  max: max >= UNBOUNDED ? (perUnit === 0 ? 0 : cap(Math.ceil(max * perUnit))) : cap(Math.ceil(max * perUnit)),
});

export const union = (a: CostRange, b: CostRange): CostRange => ({
  min: Math.min(a.min, b.min),
  max: Math.max(a.max, b.max),
});
