import { Quantity } from '#api/meta/quantity.ts';

/** What of the node can run short; Kubernetes' names, used in configuration and in messages. */
export const SIGNALS = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
] as const;

/** Nobody configures it: it follows from what is reserved for the system. */
export const ALLOCATABLE_MEMORY = 'allocatableMemory.available';
export type Signal = (typeof SIGNALS)[number] | typeof ALLOCATABLE_MEMORY;

/** An amount, or a share of the capacity (0 to 1). */
export type ThresholdValue =
  | { readonly kind: 'amount'; readonly amount: number }
  | { readonly kind: 'share'; readonly share: number };

export interface Threshold {
  readonly signal: Signal;
  readonly value: ThresholdValue;
  /** 0 = hard: pods are evicted at once, with next to no grace. */
  readonly gracePeriodMs: number;
  /** What must be free beyond the threshold before it counts as left again. */
  readonly minReclaim: ThresholdValue | undefined;
}

/** The configuration asks for what cannot be. */
export class ThresholdError extends Error {
  override readonly name = 'ThresholdError';
}

export interface ThresholdConfig {
  /** `memory.available<100Mi`, `nodefs.available<10%` */
  readonly hard: readonly string[];
  readonly soft: readonly string[];
  /** `memory.available=1m30s`, one for each soft threshold. */
  readonly softGracePeriod: readonly string[];
  /** `nodefs.available=1Gi` */
  readonly minimumReclaim: readonly string[];
}

/** Throws ThresholdError with what is wrong. */
export function parseThresholds(config: ThresholdConfig): Threshold[] {
  const reclaim = new Map(config.minimumReclaim.map((text) => parsePair(text, '=')));
  const grace = new Map(config.softGracePeriod.map((text) => parsePair(text, '=')));
  const parse = (text: string, gracePeriodMs: (signal: Signal) => number): Threshold => {
    const [signal, value] = parsePair(text, '<');
    const minReclaim = reclaim.get(signal);
    return {
      signal,
      value: parseValue(value),
      gracePeriodMs: gracePeriodMs(signal),
      minReclaim: minReclaim === undefined ? undefined : parseValue(minReclaim),
    };
  };
  const softGrace = (signal: Signal) => {
    const text = grace.get(signal);
    if (text === undefined) throw new ThresholdError(`grace period must be specified for the soft threshold ${signal}`);
    return parseDurationMs(text);
  };
  return [...config.hard.map((text) => parse(text, () => 0)), ...config.soft.map((text) => parse(text, softGrace))];
}

/**
 * With memory reserved for the system, all pods together have a limit of their own, at which the kernel would end any process of theirs:
 * what holds for the node's memory holds for theirs too, so that it is pods that end, in their order.
 */
export function withAllocatable(thresholds: readonly Threshold[], reservedMemoryBytes: number): readonly Threshold[] {
  if (reservedMemoryBytes === 0) return thresholds;
  const hard = thresholds.filter(({ signal, gracePeriodMs }) => signal === 'memory.available' && gracePeriodMs === 0);
  return [...thresholds, ...hard.map((threshold) => ({ ...threshold, signal: ALLOCATABLE_MEMORY }) as const)];
}

function parsePair(text: string, separator: string): [Signal, string] {
  const at = text.indexOf(separator);
  const signal = text.slice(0, Math.max(at, 0)).trim();
  if (at < 0 || !SIGNALS.some((known) => known === signal))
    throw new ThresholdError(
      `${JSON.stringify(text)} is not <signal>${separator}<value>; signals: ${SIGNALS.join(', ')}`,
    );
  return [signal as Signal, text.slice(at + 1).trim()];
}

function parseValue(text: string): ThresholdValue {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent !== null) {
    const share = Number(percent[1]) / 100;
    if (share >= 1) throw new ThresholdError(`${text} is not less than 100%`);
    return { kind: 'share', share };
  }
  try {
    return { kind: 'amount', amount: Quantity.parse(text).value() };
  } catch (err) {
    throw new ThresholdError(`${JSON.stringify(text)} is neither a quantity nor a percentage`, { cause: err });
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** `1m30s` as Go writes durations. */
export function parseDurationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text)
    throw new ThresholdError(`${JSON.stringify(text)} is not a duration such as 1m30s`);
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0);
}

export function absolute(value: ThresholdValue, capacity: number): number {
  return value.kind === 'amount' ? value.amount : Math.floor(capacity * value.share);
}
