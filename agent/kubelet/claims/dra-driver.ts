import type { DeviceHealth } from '../devices/device-health.ts';

/** A claim as drivers are told of it. */
export interface DriverClaim {
  readonly namespace: string;
  readonly uid: string;
  readonly name: string;
}

/** A device that a driver has made ready. */
export interface PreparedDevice {
  /** Requests of the claim that it belongs to; empty: to all. */
  readonly requestNames: readonly string[];
  readonly pool: string;
  readonly device: string;
  /** Qualified names (`vendor/class=device`) that the runtime resolves. */
  readonly cdiIds: readonly string[];
  readonly shareId?: string;
}

export interface PrepareAnswer {
  readonly devices: readonly PreparedDevice[];
  /** Empty: it went well. */
  readonly error: string;
}

/** A registered driver of dynamically allocated devices. Answers are by the uid of the claim. */
export interface DraDriver {
  readonly name: string;
  prepare(claims: readonly DriverClaim[]): Promise<ReadonlyMap<string, PrepareAnswer>>;
  unprepare(claims: readonly DriverClaim[]): Promise<ReadonlyMap<string, { readonly error: string }>>;
}

/** What a driver says of one of its devices. */
export interface HealthReport {
  readonly pool: string;
  readonly device: string;
  readonly health: DeviceHealth;
  readonly message: string;
  /** How long its word holds; 0: it does not say. */
  readonly timeoutMs: number;
}

/** The implementation speaks the protocol of drivers. */
export interface DraDrivers {
  find(name: string): DraDriver | undefined;
  names(): readonly string[];
  /** `isThere`: it has registered; else its last plug-in has gone. */
  onChange(listener: (driver: string, isThere: boolean) => void): void;
  /** A driver tells of all its devices; undefined: it tells of none any more. */
  onHealth(listener: (driver: string, reports: readonly HealthReport[] | undefined) => void): void;
}

export const NO_DRA_DRIVERS: DraDrivers = {
  find: () => undefined,
  names: () => [],
  onChange: () => undefined,
  onHealth: () => undefined,
};
