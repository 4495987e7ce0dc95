import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IResourceHealth } from 'kubernetes-models/v1/ResourceHealth';
import type { IResourceStatus } from 'kubernetes-models/v1/ResourceStatus';
import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { type DeviceHealth, resourceStatus } from '../devices/device-health.ts';
import { type PodUid, uidOf } from '../pod-spec.ts';
import type { ClaimCheckpoint } from './claim-checkpoint.ts';
import { devicesOf } from './claim-record.ts';
import type { DraDrivers, HealthReport } from './dra-driver.ts';

export interface ClaimedHealthOptions {
  readonly drivers: Pick<DraDrivers, 'onHealth'>;
  readonly checkpoint: Pick<ClaimCheckpoint, 'list' | 'ofPod'>;
  readonly clock: Clock;
  /** The status of this pod may say something else now. */
  readonly onChange: (uid: PodUid) => void;
}

interface Known {
  readonly health: DeviceHealth;
  readonly message: string;
  /** Monotonic; nobody knows what became of the device after it. */
  readonly untilMs: number;
}

const UNKNOWN = { health: 'Unknown', message: '' } as const;
/** A driver that does not say how long its word holds: Kubernetes' time. */
const DEFAULT_TIMEOUT_MS = 30_000;
/** Longer messages are cut, as Kubernetes has it. */
const MAX_MESSAGE = 1024;

/** What drivers say of the devices of claims, for the status of the pods that have them. */
export class ClaimedHealth {
  readonly #options: ClaimedHealthOptions;
  /** By driver, then by `pool/device`. */
  readonly #known = new Map<string, Map<string, Known>>();
  readonly #timers = new Map<string, () => void>();

  constructor(options: ClaimedHealthOptions) {
    this.#options = options;
    options.drivers.onHealth((driver, reports) => this.#note(driver, reports));
  }

  /** `claim:<name>`, or `claim:<name>/<request>`, with each device that it brings the container. */
  statuses(pod: Pod, { resources }: IContainer): readonly IResourceStatus[] {
    const records = this.#options.checkpoint.ofPod(uidOf(pod));
    return (resources?.claims ?? []).flatMap(({ name, request = '' }) => {
      const of = records.filter(({ pods }) => pods[uidOf(pod)]?.includes(name));
      const devices = of.flatMap((record) =>
        Object.entries(record.drivers).flatMap(([driver, all]) =>
          all
            .filter((one) => devicesOf(record, request).includes(one))
            .map(({ pool, device, cdiIds }): IResourceHealth => {
              const { health, message } = this.#healthOf(driver, `${pool}/${device}`);
              const resourceID = cdiIds[0] ?? `${driver}/${pool}/${device}`;
              return { resourceID, health, ...(message === '' ? {} : { message }) };
            }),
        ),
      );
      return devices.length === 0
        ? []
        : [resourceStatus(`claim:${name}${request === '' ? '' : `/${request}`}`, devices)];
    });
  }

  #healthOf(driver: string, key: string): Pick<Known, 'health' | 'message'> {
    const known = this.#known.get(driver)?.get(key);
    return known !== undefined && this.#options.clock.monotonic() < known.untilMs ? known : UNKNOWN;
  }

  #note(driver: string, reports: readonly HealthReport[] | undefined): void {
    const before = this.#known.get(driver) ?? new Map<string, Known>();
    if (reports === undefined) {
      this.#known.delete(driver);
      this.#timers.get(driver)?.();
      if (before.size > 0) this.#tell(driver);
      return;
    }
    const nowMs = this.#options.clock.monotonic();
    // Devices that are not spoken of any more are known as they were, for the rest of their time.
    const after = new Map([...before].filter(([, { untilMs }]) => nowMs < untilMs));
    for (const { pool, device, health, message, timeoutMs } of reports) {
      const untilMs = nowMs + (timeoutMs > 0 ? timeoutMs : DEFAULT_TIMEOUT_MS);
      after.set(`${pool}/${device}`, { health, message: shorten(message), untilMs });
    }
    const shown = (key: string) => JSON.stringify(this.#healthOf(driver, key), ['health', 'message']);
    const keys = [...after.keys()];
    const old = keys.map(shown);
    this.#known.set(driver, after);
    if (keys.some((key, index) => shown(key) !== old[index])) this.#tell(driver);
    this.#wakeAtNextEnd(driver);
  }

  /** Silence is told, too. */
  #wakeAtNextEnd(driver: string): void {
    const { clock } = this.#options;
    this.#timers.get(driver)?.();
    const nowMs = clock.monotonic();
    const ends = [...(this.#known.get(driver)?.values() ?? [])].map(({ untilMs }) => untilMs);
    const next = Math.min(...ends.filter((untilMs) => untilMs > nowMs));
    if (next === Number.POSITIVE_INFINITY) return;
    const onEnd = () => {
      this.#tell(driver);
      this.#wakeAtNextEnd(driver);
    };
    this.#timers.set(driver, clock.after(next - nowMs, onEnd));
  }

  #tell(driver: string): void {
    const { checkpoint, onChange } = this.#options;
    const concerned = checkpoint.list().filter(({ drivers }) => drivers[driver] !== undefined);
    for (const uid of new Set(concerned.flatMap(({ pods }) => Object.keys(pods)))) onChange(uid as PodUid);
  }
}

const shorten = (message: string): string =>
  message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 3)}...` : message;
