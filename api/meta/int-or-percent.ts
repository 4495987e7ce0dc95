/** A JSON `IntOrString` that may be a percentage: `3` or `"25%"`. */
export type IntOrPercent = number | string;

/** The number of a percentage such as `25%`, or undefined. */
export function percentOf(value: IntOrPercent): number | undefined {
  return typeof value === 'string' && /^[0-9]+%$/.test(value) ? Number.parseInt(value, 10) : undefined;
}

/**
 * A count out of `total`. Percentages are rounded up for what is gained (maxSurge), down for what is given up (maxUnavailable).
 * Throws for text that is no percentage: validation has refused it before.
 */
export function resolveIntOrPercent(value: IntOrPercent, total: number, rounding: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const percent = percentOf(value);
  if (percent === undefined) throw new Error(`invalid value for IntOrString: invalid type: string is not a percentage`);
  const exact = (percent * total) / 100;
  return rounding === 'up' ? Math.ceil(exact) : Math.floor(exact);
}
