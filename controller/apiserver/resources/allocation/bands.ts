/**
 * Ranges are split in two: a small lower band that people pick fixed values from, and the upper one that the server draws from first,
 * so that both rarely meet. `minimum`, `maximum` and `divisor` are Kubernetes' own for each kind of range.
 */
export interface BandRule {
  readonly minimum: bigint;
  readonly maximum: bigint;
  readonly divisor: bigint;
}

export const IP_BAND: BandRule = { minimum: 16n, maximum: 256n, divisor: 16n };
export const PORT_BAND: BandRule = { minimum: 16n, maximum: 128n, divisor: 32n };

/** Number of places at the bottom of a range of `size` that are drawn last. */
export function reservedBand(size: bigint, { minimum, maximum, divisor }: BandRule): bigint {
  if (size <= minimum) return 0n;
  const wanted = size / divisor;
  return wanted < minimum ? minimum : wanted > maximum ? maximum : wanted;
}

/**
 * Every place of [0, size) once: the upper band from a random start round, then the lower band likewise. Lazy: ranges may hold 2^64 places.
 * `random` is uniform in [0, 1).
 */
export function* drawOrder(size: bigint, rule: BandRule, random: () => number): Generator<bigint> {
  const reserved = reservedBand(size, rule);
  for (const [from, to] of [
    [reserved, size],
    [0n, reserved],
  ] as const) {
    const length = to - from;
    if (length === 0n) continue;
    // 2^53 starting places are plenty, also where the range is wider.
    const start = (length * BigInt(Math.floor(random() * 2 ** 53))) / 2n ** 53n;
    for (let i = 0n; i < length; i++) yield from + ((start + i) % length);
  }
}
