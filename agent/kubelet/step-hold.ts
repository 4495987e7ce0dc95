import { isStillAhead } from '#base/clock-jumps.ts';
import type { WaitingReason } from './pod-action.ts';

/** A step failed lately and is not tried again before `untilMs`. Keys: container names, `sandbox`, `volumes`. */
export interface Hold {
  readonly untilMs: number;
  readonly waiting: WaitingReason | undefined;
}
export const SANDBOX_HOLD = '#sandbox';
export const VOLUMES_HOLD = '#volumes';
/** As long as the longest back-off of all that fails: pulls and restarts. */
const LONGEST_HOLD_MS = 300_000;
export const holdsStill = (hold: Hold | undefined, nowMs: number): hold is Hold =>
  hold !== undefined && isStillAhead(hold.untilMs, nowMs, LONGEST_HOLD_MS);
const RESIZE_HOLD = '#resize ';
export const resizeHold = (container: string): string => `${RESIZE_HOLD}${container}`;

/** What keeps granted sizes from being given to running containers. */
export const resizeErrors = (holds: ReadonlyMap<string, Hold>): string[] =>
  [...holds].flatMap(([key, hold]) => (key.startsWith(RESIZE_HOLD) ? (hold.waiting?.message ?? []) : []));
