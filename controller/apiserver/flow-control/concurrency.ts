import type { Configured, PriorityLevelSpec } from './configuration.ts';

/** How many seats a priority level has, may lend and may borrow. */
export interface SeatLimits {
  readonly nominal: number;
  /** Of its own: what others can never take. */
  readonly min: number;
  /** With all that it may borrow. */
  readonly max: number;
}

const percentOf = (seats: number, percent: number) => Math.round((seats * percent) / 100);

/**
 * The shares of all levels in seats: `ceil(total * shares / all shares)`. A level without shares still gets seats by borrowing alone.
 * `exempt` has no limit, its shares can only be lent.
 */
export function computeSeatLimits(
  levels: readonly Configured<PriorityLevelSpec>[],
  totalSeats: number,
): Map<string, SeatLimits> {
  const sharesOf = ({ spec }: Configured<PriorityLevelSpec>) =>
    spec.limited?.nominalConcurrencyShares ?? spec.exempt?.nominalConcurrencyShares ?? 0;
  const allShares = levels.reduce((sum, level) => sum + sharesOf(level), 0);
  return new Map(
    levels.map((level) => {
      const { spec } = level;
      const nominal = allShares === 0 ? 0 : Math.ceil((totalSeats * sharesOf(level)) / allShares);
      const lendablePercent = spec.limited?.lendablePercent ?? spec.exempt?.lendablePercent ?? 0;
      const borrowingPercent = spec.limited?.borrowingLimitPercent;
      const max = borrowingPercent === undefined ? totalSeats : nominal + percentOf(nominal, borrowingPercent);
      return [level.name, { nominal, min: nominal - percentOf(nominal, lendablePercent), max }] as const;
    }),
  );
}
