import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../../host/host.ts';
import type { PreparedVolume } from '../../config/container-config.ts';
import { type PodUid, specOf, uidOf } from '../../pod-spec.ts';
import { VolumeError } from '../volume-kind.ts';
import type { CsiCalls, CsiUse } from './csi-calls.ts';
import type { CsiDriver, CsiDrivers } from './csi-driver.ts';
import { type CsiRecord, claimUse, readRecord, recordOf, writeRecord } from './csi-record.ts';
import { type CsiVolume, mustGiveToGroup, stagingFolder } from './csi-volume.ts';
import type { KeyLock } from './key-lock.ts';

export interface CsiVolumesOptions {
  readonly host: Host;
  /** `/var/lib/kubelet` */
  readonly root: string;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly calls: CsiCalls;
  /** Resolves once the API holds that the volume, by its name in `volumesInUse`, is in use here. */
  readonly tellInUse: (name: string) => Promise<void>;
  /** What is done to one volume is done in turn. */
  readonly locks: KeyLock;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PreparedCsiVolume extends PreparedVolume {
  /** Epoch ms after which the driver is to be asked again. */
  readonly refreshAtMs?: number;
}

type VolumeKey = Pick<CsiVolume, 'driver' | 'handle'>;

export const lockOf = ({ driver, handle }: VolumeKey): string => `${driver} ${handle}`;

const PLUGIN = 'kubernetes.io~csi';
/** Drivers that want to be asked again, and volumes that may grow. */
export const REFRESH_MS = 60_000;

/**
 * Volumes of CSI drivers that are file systems, on the paths that drivers hard-code. What a driver is asked for is on disk before it is
 * asked, so that it is taken back whatever happens to the agent or to the objects.
 */
export class CsiVolumes {
  readonly #options: CsiVolumesOptions;
  /** Volumes that were staged since we started: drivers do it again without harm, but need not. */
  readonly #staged = new Set<string>();

  constructor(options: CsiVolumesOptions) {
    this.#options = options;
    options.drivers.onChange(() => void this.#sweep());
  }

  /** Mounts, or looks whether something is to be done about a volume that is mounted. Throws VolumeError and what the driver answers. */
  setUp(pod: Pod, volume: CsiVolume): Promise<PreparedCsiVolume> {
    return this.#options.locks.run(lockOf(volume), () => this.#setUp(pod, volume));
  }

  /** Takes down every volume of the pod by what stands on the host. Throws while a driver that is needed for it is away. */
  async tearDown(uid: PodUid): Promise<void> {
    const { host, locks } = this.#options;
    const parent = this.#podFolders(uid);
    for (const [folder, record] of await this.#records(parent)) {
      const volume = { driver: record.driverName, handle: record.volumeHandle };
      await locks.run(lockOf(volume), () => this.#takeDown(folder, volume));
    }
    for (const name of await host.fs.list(parent)) await host.fs.remove(`${parent}/${name}`);
  }

  async #setUp(pod: Pod, volume: CsiVolume): Promise<PreparedCsiVolume> {
    const { host, calls, nodeName, root, clock, tellInUse } = this.#options;
    const use = await calls.begin(pod, volume, `${stagingFolder(root, volume)}/globalmount`);
    const folder = `${this.#podFolders(uidOf(pod))}/${volume.specName}`;
    const target = `${folder}/mount`;
    const isMounted = (await host.mounts.list()).some(({ path }) => path === target);
    const isAskedAgain = use.object?.spec?.requiresRepublish === true;
    if (!isMounted) {
      const record = recordOf(volume, nodeName, calls.attachmentName(use));
      // Where it is not there, nobody looks for volumes in use.
      await host.fs.makeDirectory(`${root}/plugins/kubernetes.io/csi`, 0o750);
      await claimUse(host.fs, folder, { record, tellInUse });
      await this.#stage(use);
    }
    // The driver makes the last folder of the path itself.
    if (!isMounted || isAskedAgain) await calls.publish(use, target);
    await this.#giveToGroup(use, folder, isMounted);
    // A volume in use stays in use with the size that it has; who fails was told so.
    await calls.grow(use, target).catch((err: unknown) => {
      if (!isMounted) throw err;
    });
    const mayChange =
      isAskedAgain || (volume.lifecycle === 'Persistent' && use.driver.capabilities.has('EXPAND_VOLUME'));
    return {
      hostPath: target,
      readOnly: volume.readOnly,
      ...(mayChange ? { refreshAtMs: clock.now() + REFRESH_MS } : {}),
    };
  }

  async #stage(use: CsiUse): Promise<void> {
    const { volume, staging } = use;
    if (staging === '' || this.#staged.has(lockOf(volume))) return;
    const { host, root, calls } = this.#options;
    const record = { driverName: volume.driver, volumeHandle: volume.handle };
    await writeRecord(host.fs, stagingFolder(root, volume), record);
    await host.fs.makeDirectory(staging, 0o750);
    await calls.stage(use).catch((cause: unknown) => {
      throw new VolumeError(describeError(cause), { cause, operation: 'MountDevice' });
    });
    this.#staged.add(lockOf(volume));
  }

  /** Once for each mount, also when the agent before us was killed between the two. */
  async #giveToGroup({ pod, volume, driver, object }: CsiUse, folder: string, wasMounted: boolean): Promise<void> {
    const { fs } = this.#options.host;
    const { fsGroup, fsGroupChangePolicy } = specOf(pod).securityContext ?? {};
    if (fsGroup === undefined || !mustGiveToGroup(volume, object, driver.capabilities)) return;
    const record = await readRecord(fs, folder);
    if (wasMounted && record?.hasGroup === 'true') return;
    await fs.giveToGroup(`${folder}/mount`, fsGroup, fsGroupChangePolicy === 'OnRootMismatch');
    if (record !== undefined) await writeRecord(fs, folder, { ...record, hasGroup: 'true' });
  }

  async #takeDown(folder: string, volume: VolumeKey): Promise<void> {
    const { host, calls } = this.#options;
    const driver = calls.driver(volume.driver);
    await driver.unpublish({ volume_id: volume.handle, target_path: `${folder}/mount` });
    // The driver takes away what it made. Where it is still mounted this fails, and it is asked again.
    await host.fs.remove(folder);
    await this.#unstageUnlessUsed(driver, volume);
  }

  async #unstageUnlessUsed(driver: CsiDriver, volume: VolumeKey): Promise<void> {
    const { host, root } = this.#options;
    const staged = stagingFolder(root, volume);
    if ((await host.fs.info(staged)) === undefined || (await this.#isUsed(volume))) return;
    await driver.unstage({ volume_id: volume.handle, staging_target_path: `${staged}/globalmount` });
    this.#staged.delete(lockOf(volume));
    await host.fs.remove(staged);
  }

  /** What an agent before us had staged for pods that have gone since. */
  async #sweep(): Promise<void> {
    const { root, drivers, locks, log } = this.#options;
    for (const driver of drivers.list())
      for (const [, { volumeHandle: handle }] of await this.#records(
        `${root}/plugins/kubernetes.io/csi/${driver.name}`,
      )) {
        const volume = { driver: driver.name, handle };
        await locks
          .run(lockOf(volume), () => this.#unstageUnlessUsed(driver, volume))
          .catch((err: unknown) => log.warn('a volume stays staged', { ...volume, err: describeError(err) }));
      }
  }

  async #isUsed({ driver, handle }: VolumeKey): Promise<boolean> {
    const { host, root } = this.#options;
    for (const uid of await host.fs.list(`${root}/pods`))
      for (const [, record] of await this.#records(this.#podFolders(uid)))
        if (record.driverName === driver && record.volumeHandle === handle) return true;
    return false;
  }

  async #records(parent: string): Promise<[folder: string, CsiRecord][]> {
    const { fs } = this.#options.host;
    const found: [string, CsiRecord][] = [];
    for (const name of await fs.list(parent)) {
      const record = await readRecord(fs, `${parent}/${name}`);
      if (record !== undefined) found.push([`${parent}/${name}`, record]);
    }
    return found;
  }

  #podFolders(uid: string): string {
    return `${this.#options.root}/pods/${uid}/volumes/${PLUGIN}`;
  }
}
