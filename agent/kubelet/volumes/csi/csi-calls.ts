import type { CSIDriver, Pod, Secret } from '#api/object/kinds.ts';
import { type Clock, toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { EventType, PodEvents } from '../../pod-events.ts';
import { type PodUid, specOf, uidOf } from '../../pod-spec.ts';
import type { PersistentClaims } from '../persistent-claims.ts';
import { type ProjectedToken, type TokenSpec, VolumeError } from '../volume-kind.ts';
import type { CsiDriver, CsiDrivers } from './csi-driver.ts';
import {
  attachmentName,
  type CsiVolume,
  capabilityOf,
  mustBeAttached,
  publishContext,
  type SecretName,
  verifyLifecycle,
  volumeContext,
} from './csi-volume.ts';

export interface CsiCallsOptions {
  readonly nodeName: string;
  readonly drivers: Pick<CsiDrivers, 'find'>;
  readonly reads: Pick<PersistentClaims, 'csiDriver' | 'attachment' | 'noteGrowth'>;
  readonly events: Pick<PodEvents, 'pod' | 'claim'>;
  readonly clock: Clock;
  readonly secret: (uid: PodUid, name: SecretName) => Promise<Secret | undefined>;
  readonly token: (pod: Pod, spec: TokenSpec) => Promise<ProjectedToken>;
}

type Texts = Readonly<Record<string, string>>;

/** A volume on its way into a pod. */
export interface CsiUse {
  readonly pod: Pod;
  readonly volume: CsiVolume;
  readonly driver: CsiDriver;
  /** What the cluster says of the driver, if anything. */
  readonly object: CSIDriver | undefined;
  /** Where it is staged; empty where it is not. */
  readonly staging: string;
}

/** gRPC codes after which Kubernetes' nodes do not ask again: the request itself is wrong. */
const INFEASIBLE: ReadonlySet<unknown> = new Set([3, 5, 11]);
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens';
const DEFAULT_TOKEN_SECONDS = 3600;

/** The requests to drivers, put together from pod, volume and cluster. Throws VolumeError, and what a driver answers. */
export class CsiCalls {
  readonly #options: CsiCallsOptions;

  constructor(options: CsiCallsOptions) {
    this.#options = options;
  }

  driver(name: string): CsiDriver {
    const driver = this.#options.drivers.find(name);
    if (driver === undefined)
      throw new VolumeError(`driver name ${name} not found in the list of registered CSI drivers`);
    return driver;
  }

  /** `staging` is where the volume is staged if its driver stages. */
  async begin(pod: Pod, volume: CsiVolume, staging: string): Promise<CsiUse> {
    const driver = this.driver(volume.driver);
    const object = await this.#options.reads.csiDriver(uidOf(pod), volume.driver);
    verifyLifecycle(volume, object);
    const isStaged = volume.lifecycle === 'Persistent' && driver.capabilities.has('STAGE_UNSTAGE_VOLUME');
    return { pod, volume, driver, object, staging: isStaged ? staging : '' };
  }

  /** Empty where the volume needs none. */
  attachmentName({ volume, object }: CsiUse): string {
    if (!mustBeAttached(volume, object)) return '';
    return attachmentName(volume.handle, volume.driver, this.#options.nodeName);
  }

  async stage(use: CsiUse): Promise<void> {
    const { pod, volume, driver, staging } = use;
    await driver.stage({
      volume_id: volume.handle,
      publish_context: await this.#publishContext(use),
      staging_target_path: staging,
      volume_capability: this.#capability(use),
      secrets: await this.#secret(pod, volume.secrets.stage),
      volume_context: volume.attributes,
    });
  }

  async publish(use: CsiUse, target: string): Promise<void> {
    const { pod, volume, driver, object, staging } = use;
    const tokens = await this.#tokens(pod, object);
    const isSecret = object?.spec?.serviceAccountTokenInSecrets === true;
    await driver.publish({
      volume_id: volume.handle,
      publish_context: await this.#publishContext(use),
      staging_target_path: staging,
      target_path: target,
      volume_capability: this.#capability(use),
      readonly: volume.readOnly,
      secrets: { ...(await this.#secret(pod, volume.secrets.publish)), ...(isSecret ? tokens : {}) },
      volume_context: { ...volumeContext(pod, volume, object), ...(isSecret ? {} : tokens) },
    });
  }

  /** Lets the driver see to a volume that is to be larger; tells its claim and the pod. Throws what the driver answers, having told it. */
  async grow(use: CsiUse, path: string): Promise<void> {
    const { pod, volume, driver, staging } = use;
    if (volume.growTo === undefined || !driver.capabilities.has('EXPAND_VOLUME')) return;
    const { reads, events, clock, nodeName } = this.#options;
    const { bytes, claim, quantity } = volume.growTo;
    if (claim.status?.allocatedResourceStatuses?.storage === 'NodeResizePending')
      await reads.noteGrowth(claim, { state: 'begun' });
    const tell = (type: EventType, reason: string, message: string) => {
      events.pod(pod, type, reason, message);
      events.claim(claim, type, reason, message);
    };
    try {
      await driver.expand({
        volume_id: volume.handle,
        volume_path: path,
        capacity_range: { required_bytes: bytes },
        staging_target_path: staging,
        volume_capability: this.#capability(use),
        secrets: await this.#secret(pod, volume.secrets.expand),
      });
    } catch (err) {
      const message = `MountVolume.NodeExpandVolume failed for volume "${volume.specName}" : ${describeError(err)}`;
      tell('Warning', 'VolumeResizeFailed', message);
      const isInfeasible = INFEASIBLE.has((err as { code?: unknown }).code);
      await reads.noteGrowth(claim, { state: 'failed', message, isInfeasible, atTime: toTime(clock.now()) });
      throw err;
    }
    await reads.noteGrowth(claim, { state: 'done', storage: quantity });
    const done = `MountVolume.NodeExpandVolume succeeded for volume "${volume.specName}" ${nodeName}`;
    tell('Normal', 'FileSystemResizeSuccessful', done);
  }

  #capability({ pod, volume, driver }: CsiUse) {
    return capabilityOf(volume, driver.capabilities, specOf(pod).securityContext?.fsGroup);
  }

  async #publishContext(use: CsiUse): Promise<Texts> {
    const name = this.attachmentName(use);
    if (name === '') return {};
    return publishContext(use.volume, await this.#options.reads.attachment(uidOf(use.pod), name));
  }

  async #secret(pod: Pod, name: SecretName | undefined): Promise<Texts> {
    if (name === undefined) return {};
    const secret = await this.#options.secret(uidOf(pod), name);
    if (secret === undefined) throw new VolumeError(`secret "${name.name}" not found in namespace "${name.namespace}"`);
    const entries = Object.entries(secret.data ?? {});
    return Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]));
  }

  /** Tokens of the pod's ServiceAccount that the driver asked for, by audience, as one text. */
  async #tokens(pod: Pod, object: CSIDriver | undefined): Promise<Texts> {
    const requests = object?.spec?.tokenRequests ?? [];
    if (requests.length === 0) return {};
    const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
    for (const { audience, expirationSeconds = DEFAULT_TOKEN_SECONDS } of requests) {
      const spec = { audience: audience || undefined, expirationSeconds };
      const { token, expiresAtMs = 0 } = await this.#options.token(pod, spec);
      tokens[audience] = { token, expirationTimestamp: new Date(expiresAtMs).toISOString().replace(/\.\d+Z$/, 'Z') };
    }
    return { [TOKENS]: JSON.stringify(tokens) };
  }
}
