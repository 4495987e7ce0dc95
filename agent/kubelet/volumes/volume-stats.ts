import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import type { Host } from '../../host/host.ts';
import type { UsageReader } from '../eviction/usage-reader.ts';
import { namespaceOf, specOf, uidOf } from '../pod-spec.ts';
import { withinOrGoOn } from '../within-or-go-on.ts';
import type { CsiDrivers, CsiUsage } from './csi/csi-driver.ts';
import { type CsiVolume, stagingFolder } from './csi/csi-volume.ts';
import { claimNameOf } from './persistent-volume.ts';
import type { VolumeManager } from './volume-manager.ts';

/** How the use of a volume is found out: by walking it, by asking its file system (of this host, or of a server that may hang), its driver. */
export type Measure =
  | { readonly by: 'walk' | 'fileSystem' | 'server'; readonly path: string }
  | { readonly by: 'driver'; readonly path: string; readonly volume: CsiVolume };

/** What is known of a volume; a number that nobody tells is absent. */
export interface VolumeUse {
  readonly name: string;
  /** `namespace` and `name` of its claim. */
  readonly claim?: { readonly namespace: string; readonly name: string };
  /** It takes from the disk of the node. */
  readonly isEphemeral: boolean;
  readonly bytes: Amounts;
  readonly inodes: Partial<Amounts>;
}

export interface Amounts {
  readonly total: number;
  readonly free: number;
  readonly used: number;
}

export interface VolumeStatsOptions {
  readonly host: Pick<Host, 'fs' | 'exec'>;
  /** `/var/lib/kubelet` */
  readonly root: string;
  readonly drivers: Pick<CsiDrivers, 'find'>;
  readonly volumes: Pick<VolumeManager, 'measures'>;
  readonly usages: Pick<UsageReader, 'disk'>;
  readonly clock: Clock;
}

type Found = Pick<VolumeUse, 'bytes' | 'inodes'>;

interface Entry {
  found: Found | undefined;
  atMs: number;
  asking: Promise<void> | undefined;
}

/** What was found this lately still holds, as in Kubernetes. */
const AGE_MS = 60_000;
/** Whoever asks waits this long for drivers and servers that do not answer; what they tell later serves the next one. */
const PATIENCE_MS = 5_000;

/** How full the volumes of pods are. Nothing is measured unless somebody asks. */
export class VolumeStats {
  readonly #options: VolumeStatsOptions;
  readonly #known = new Map<string, Entry>();

  constructor(options: VolumeStatsOptions) {
    this.#options = options;
  }

  async read(pods: readonly Pod[]): Promise<ReadonlyMap<string, readonly VolumeUse[]>> {
    const { clock, volumes } = this.#options;
    const nowMs = clock.monotonic();
    const asked = new Set<string>();
    const asking: Promise<void>[] = [];
    for (const pod of pods)
      for (const [name, measure] of volumes.measures(uidOf(pod))) {
        const key = `${pod.metadata.uid} ${name}`;
        asked.add(key);
        const entry = this.#known.get(key) ?? { found: undefined, atMs: Number.NEGATIVE_INFINITY, asking: undefined };
        this.#known.set(key, entry);
        if (nowMs - entry.atMs >= AGE_MS) entry.asking ??= this.#refresh(entry, measure);
        if (entry.asking !== undefined) asking.push(entry.asking);
      }
    for (const key of this.#known.keys()) if (!asked.has(key)) this.#known.delete(key);
    await withinOrGoOn(clock, Promise.all(asking), PATIENCE_MS);
    return new Map(pods.map((pod) => [pod.metadata.uid, this.#usesOf(pod)]));
  }

  #usesOf(pod: Pod): VolumeUse[] {
    return (specOf(pod).volumes ?? []).flatMap((volume) => {
      const found = this.#known.get(`${pod.metadata.uid} ${volume.name}`)?.found;
      if (found === undefined) return [];
      const claim = claimNameOf(pod, volume);
      const ofClaim = claim === undefined ? {} : { claim: { namespace: namespaceOf(pod), name: claim } };
      return { name: volume.name, ...ofClaim, isEphemeral: isEphemeral(volume), ...found };
    });
  }

  /** What cannot be found out now is left out. */
  async #refresh(entry: Entry, measure: Measure): Promise<void> {
    entry.found = await this.#measure(measure).catch(() => undefined);
    entry.atMs = this.#options.clock.monotonic();
    entry.asking = undefined;
  }

  async #measure(measure: Measure): Promise<Found | undefined> {
    const { host, usages, root, drivers } = this.#options;
    const { path } = measure;
    switch (measure.by) {
      case 'driver': {
        const { volume } = measure;
        const driver = drivers.find(volume.driver);
        if (driver?.capabilities.has('GET_VOLUME_STATS') !== true) return undefined;
        const isStaged = volume.lifecycle === 'Persistent' && driver.capabilities.has('STAGE_UNSTAGE_VOLUME');
        const staging_target_path = isStaged ? `${stagingFolder(root, volume)}/globalmount` : '';
        return fromDriver(await driver.stats({ volume_id: volume.handle, volume_path: path, staging_target_path }));
      }
      case 'server':
        return fromStat((await host.exec.run(['stat', '-f', '-c', '%S %b %f %a %c %d', path])).stdout);
      default: {
        const disk = await host.fs.diskUsage(path);
        const use = measure.by === 'walk' ? await usages.disk(path) : undefined;
        return {
          bytes: { total: disk.totalBytes, free: disk.freeBytes, used: use?.bytes ?? disk.totalBytes - disk.freeBytes },
          inodes: {
            total: disk.totalInodes,
            free: disk.freeInodes,
            used: use?.inodes ?? disk.totalInodes - disk.freeInodes,
          },
        };
      }
    }
  }
}

/** `stat -f`: block size, blocks, free blocks, blocks free to all, inodes, free inodes. In another process: a server that is away blocks it. */
function fromStat(text: string): Found {
  const [size = 0, blocks = 0, free = 0, available = 0, inodes = 0, freeInodes = 0] = text
    .trim()
    .split(' ')
    .map(Number);
  return {
    bytes: { total: blocks * size, free: available * size, used: (blocks - free) * size },
    inodes: { total: inodes, free: freeInodes, used: inodes - freeInodes },
  };
}

function fromDriver(usage: readonly CsiUsage[]): Found {
  const amounts = (unit: CsiUsage['unit']) => {
    const found = usage.find((one) => one.unit === unit);
    return found === undefined ? undefined : { total: found.total, free: found.available, used: found.used };
  };
  return { bytes: amounts('BYTES') ?? { total: 0, free: 0, used: 0 }, inodes: amounts('INODES') ?? {} };
}

const isEphemeral = ({ emptyDir, configMap, downwardAPI }: IVolume) =>
  (emptyDir !== undefined && !emptyDir.medium) || configMap !== undefined || downwardAPI !== undefined;
