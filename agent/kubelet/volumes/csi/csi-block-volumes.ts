import type { Pod } from '#api/object/kinds.ts';
import { type PodUid, uidOf } from '../../pod-spec.ts';
import { claimUse, readRecord, recordOf } from './csi-record.ts';
import type { CsiVolume } from './csi-volume.ts';
import { type CsiVolumesOptions, lockOf, type PreparedCsiVolume, REFRESH_MS } from './csi-volumes.ts';

const PLUGIN = 'kubernetes.io~csi';

/**
 * Raw block volumes of CSI drivers. The driver makes a device or a file at `publish/<volume>/<pod>`; it is mounted again in the global
 * map of the volume, and the pod has a link to it, where the container's configuration finds it.
 */
export class CsiBlockVolumes {
  readonly #options: CsiVolumesOptions;

  constructor(options: CsiVolumesOptions) {
    this.#options = options;
  }

  setUp(pod: Pod, volume: CsiVolume): Promise<PreparedCsiVolume> {
    return this.#options.locks.run(lockOf(volume), () => this.#setUp(pod, volume));
  }

  /** By what stands on the host. */
  async tearDown(uid: PodUid): Promise<void> {
    const { host, locks } = this.#options;
    for (const name of await host.fs.list(this.#podFolder(uid))) {
      const record = await readRecord(host.fs, this.#dataFolder(name));
      if (record === undefined) continue;
      const volume = { driver: record.driverName, handle: record.volumeHandle };
      await locks.run(lockOf(volume), () => this.#takeDown(uid, name, volume));
    }
    await host.fs.remove(this.#podFolder(uid));
  }

  async #setUp(pod: Pod, volume: CsiVolume): Promise<PreparedCsiVolume> {
    const { host, calls, nodeName, clock, tellInUse } = this.#options;
    const { specName } = volume;
    const uid = uidOf(pod);
    const use = await calls.begin(pod, volume, `${this.#devices()}/staging/${specName}`);
    const target = this.#target(specName, uid);
    const link = `${this.#podFolder(uid)}/${specName}`;
    const isMapped = (await host.fs.readLink(link)) !== undefined && (await host.fs.info(target)) !== undefined;
    if (!isMapped) {
      const record = recordOf(volume, nodeName, calls.attachmentName(use));
      await claimUse(host.fs, this.#dataFolder(specName), { record, tellInUse });
      // The link comes first: it is what take-down goes by.
      await host.fs.makeDirectory(this.#podFolder(uid), 0o750);
      if ((await host.fs.readLink(link)) === undefined) await host.fs.symlink(target, link);
      if (use.staging !== '') {
        await host.fs.makeDirectory(use.staging, 0o750);
        await calls.stage(use);
      }
      await host.fs.makeDirectory(target.slice(0, target.lastIndexOf('/')), 0o750);
      await calls.publish(use, target);
      await this.#map(specName, uid, target);
    }
    // As of a file system: what is in use stays in use.
    await calls.grow(use, target).catch((err: unknown) => {
      if (!isMapped) throw err;
    });
    return {
      ...{ hostPath: link, readOnly: volume.readOnly, isBlock: true },
      ...(use.driver.capabilities.has('EXPAND_VOLUME') ? { refreshAtMs: clock.now() + REFRESH_MS } : {}),
    };
  }

  async #map(specName: string, uid: PodUid, target: string): Promise<void> {
    const { host } = this.#options;
    const global = this.#global(specName, uid);
    if ((await host.mounts.list()).some(({ path }) => path === global)) return;
    await host.fs.makeDirectory(global.slice(0, global.lastIndexOf('/')), 0o750);
    await host.fs.write(global, '', 0o640);
    await host.mounts.bind(target, global, false);
  }

  async #takeDown(uid: PodUid, specName: string, volume: Pick<CsiVolume, 'driver' | 'handle'>): Promise<void> {
    const { host, calls } = this.#options;
    const driver = calls.driver(volume.driver);
    const global = this.#global(specName, uid);
    await host.mounts.unmount(global);
    await host.fs.remove(global);
    const target = this.#target(specName, uid);
    await driver.unpublish({ volume_id: volume.handle, target_path: target });
    await host.fs.remove(target);
    await host.fs.remove(`${this.#podFolder(uid)}/${specName}`);
    const published = target.slice(0, target.lastIndexOf('/'));
    if ((await host.fs.list(published)).length > 0) return;
    const staging = `${this.#devices()}/staging/${specName}`;
    if (driver.capabilities.has('STAGE_UNSTAGE_VOLUME') && (await host.fs.info(staging)) !== undefined)
      await driver.unstage({ volume_id: volume.handle, staging_target_path: staging });
    for (const folder of [staging, published, `${this.#devices()}/${specName}`]) await host.fs.remove(folder);
  }

  #devices(): string {
    return `${this.#options.root}/plugins/kubernetes.io/csi/volumeDevices`;
  }

  #podFolder(uid: PodUid): string {
    return `${this.#options.root}/pods/${uid}/volumeDevices/${PLUGIN}`;
  }

  #dataFolder(specName: string): string {
    return `${this.#devices()}/${specName}/data`;
  }

  #global(specName: string, uid: PodUid): string {
    return `${this.#devices()}/${specName}/dev/${uid}`;
  }

  #target(specName: string, uid: PodUid): string {
    return `${this.#devices()}/publish/${specName}/${uid}`;
  }
}
