export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** A port that is in use, or outside the range; worded as Kubernetes does. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';
}
