import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { ConfigMap, Pod, Secret } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../host/host.ts';
import type { PreparedVolume } from '../config/container-config.ts';
import type { NodeAllocatable } from '../config/field-ref.ts';
import type { PodPaths } from '../config/pod-paths.ts';
import { namespaceOf, type PodUid, specOf, uidOf } from '../pod-spec.ts';
import type { ReferencedObjects } from '../referenced-objects.ts';
import { writePayload } from './atomic-writer.ts';
import { configMap } from './config-map.ts';
import type { CsiBlockVolumes } from './csi/csi-block-volumes.ts';
import { type CsiVolume, inlineVolume, persistentVolume } from './csi/csi-volume.ts';
import type { CsiVolumes, PreparedCsiVolume } from './csi/csi-volumes.ts';
import { KeyLock } from './csi/key-lock.ts';
import { downwardApi } from './downward-api.ts';
import { emptyDir } from './empty-dir.ts';
import { hostPath } from './host-path.ts';
import { imageVolume } from './image-volume.ts';
import { linkLocalDevice } from './local-block.ts';
import { setUpLocal } from './local-volume.ts';
import { nfs } from './nfs.ts';
import type { PersistentClaims } from './persistent-claims.ts';
import { boundClaim, sourceOf } from './persistent-volume.ts';
import { projected } from './projected.ts';
import { secret } from './secret.ts';
import type { TokenSource } from './token-source.ts';
import type { VolatileMemory } from './volatile-memory.ts';
import { type VolumeContext, VolumeError, type VolumeKind } from './volume-kind.ts';
import type { Measure } from './volume-stats.ts';

/** What is mounted there is their drivers' to unmount. */
const CSI_PLUGIN = 'kubernetes.io~csi';

/** By the field of `spec.volumes[]` that is set. */
const KINDS: Readonly<Partial<Record<keyof IVolume, VolumeKind>>> = {
  emptyDir,
  hostPath,
  configMap,
  secret,
  projected,
  downwardAPI: downwardApi,
  nfs,
  image: imageVolume,
};

export interface VolumeManagerOptions {
  readonly host: Host;
  readonly paths: PodPaths;
  readonly volatile: Pick<VolatileMemory, 'filesOf' | 'folder' | 'take' | 'remove'>;
  readonly configMaps: ReferencedObjects<ConfigMap>;
  readonly secrets: ReferencedObjects<Secret>;
  readonly tokens: TokenSource;
  readonly claims: Pick<PersistentClaims, 'claim' | 'persistentVolume'>;
  readonly csi: Pick<CsiVolumes, 'setUp' | 'tearDown'>;
  readonly csiBlock: Pick<CsiBlockVolumes, 'setUp' | 'tearDown'>;
  readonly pullImage: (pod: Pod, request: ImageRequest) => Promise<string>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly allocatable: () => NodeAllocatable;
  readonly log: Logger;
}

export interface ImageRequest {
  readonly volume: string;
  readonly reference: string;
  readonly policy: string | undefined;
  /** Nobody waits for it any longer; absent: that is not said. */
  readonly signal: AbortSignal | undefined;
}

export interface PreparedVolumes {
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  /** Epoch ms after which `refresh` should be called although nothing changed. */
  readonly refreshAtMs: number | undefined;
  readonly measures: ReadonlyMap<string, Measure>;
}

interface SetUpVolume {
  readonly name: string;
  readonly prepared: PreparedVolume;
  readonly refreshAtMs?: number | undefined;
  /** Absent where nobody can say how full it is. */
  readonly measure?: Measure;
}

/**
 * Sets up, keeps current and takes down the volumes of pods. What is asked for one pod is done in turn: a pod may be told to end before the
 * volumes that it asked for stand, and what comes after they were taken down would stay for ever.
 */
export class VolumeManager {
  readonly #options: VolumeManagerOptions;
  readonly #prepared = new Map<PodUid, PreparedVolumes>();
  readonly #pods = new KeyLock();
  /** What is done to one device is done in turn. */
  readonly #devices = new KeyLock();

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  /** All volumes of the pod; cheap when they already stand. Aborting ends pulls. Throws VolumeError naming the volume that is missing. */
  async prepare(pod: Pod, signal?: AbortSignal): Promise<PreparedVolumes> {
    const known = () => this.#prepared.get(uidOf(pod));
    return known() ?? this.#pods.run(uidOf(pod), async () => known() ?? this.#setUpAll(pod, signal));
  }

  /** Renders again what may have changed: ConfigMaps, Secrets, tokens, labels. */
  refresh(pod: Pod): Promise<PreparedVolumes> {
    return this.#pods.run(uidOf(pod), () => this.#setUpAll(pod, undefined));
  }

  async #setUpAll(pod: Pod, signal: AbortSignal | undefined): Promise<PreparedVolumes> {
    const context = this.#context(pod, signal);
    const parts = await Promise.all((specOf(pod).volumes ?? []).map((volume) => this.#setUp(context, volume)));
    const refreshes = parts.flatMap((part) => part.refreshAtMs ?? []);
    const result: PreparedVolumes = {
      volumes: new Map(parts.map((part) => [part.name, part.prepared])),
      refreshAtMs: refreshes.length === 0 ? undefined : Math.min(...refreshes),
      measures: new Map(parts.flatMap(({ name, measure }) => (measure === undefined ? [] : [[name, measure]]))),
    };
    this.#prepared.set(uidOf(pod), result);
    return result;
  }

  /** How the use of the pod's volumes that stand is found out, by name. */
  measures(uid: PodUid): ReadonlyMap<string, Measure> {
    return this.#prepared.get(uid)?.measures ?? new Map();
  }

  isPrepared(uid: PodUid): boolean {
    return this.#prepared.has(uid);
  }

  /** Only after every container has ended. Mounts go first, then files. Throws while a driver that is needed for it is away. */
  tearDown(uid: PodUid): Promise<void> {
    return this.#pods.run(uid, () => this.#tearDown(uid));
  }

  async #tearDown(uid: PodUid): Promise<void> {
    this.#prepared.delete(uid);
    const { configMaps, secrets, tokens, host, paths, volatile, csi, csiBlock } = this.#options;
    configMaps.release(uid);
    secrets.release(uid);
    tokens.forgetPod(uid);
    // By what stands on the host rather than by the pod: its claims may be gone by now, and of an orphan nothing else is known.
    const folder = paths.pod(uid);
    const ours = (await host.mounts.list()).filter(
      ({ path }) =>
        path.startsWith(`${folder}/volume-subpaths/`) ||
        (path.startsWith(`${folder}/volumes/`) && !path.startsWith(`${folder}/volumes/${CSI_PLUGIN}/`)),
    );
    for (const { path } of ours.toReversed()) await host.mounts.unmount(path);
    await csi.tearDown(uid);
    await csiBlock.tearDown(uid);
    await host.fs.remove(`${paths.pod(uid)}/volumeDevices`);
    await volatile.remove(uid);
    await host.fs.remove(`${paths.pod(uid)}/volumes`);
  }

  async #setUp(context: VolumeContext, given: IVolume): Promise<SetUpVolume> {
    if (given.csi !== undefined) return this.#setUpCsi(context.pod, given.name, inlineVolume(context.pod, given));
    if (!isClaim(given)) return this.#setUpPlain(context, given);
    const bound = await boundClaim(context, given);
    const { csi, local, volumeMode } = bound.volume.spec ?? {};
    const names = [given.name, bound.volume.metadata.name] as const;
    if (volumeMode === 'Block') {
      const { csiBlock } = this.#options;
      if (csi === undefined) return this.#mapped(...names, () => linkLocalDevice(context, bound));
      return this.#mapped(...names, () => csiBlock.setUp(context.pod, persistentVolume(bound)));
    }
    if (csi !== undefined) return this.#setUpCsi(context.pod, given.name, persistentVolume(bound));
    if (local !== undefined) {
      const done = await this.#named(...names, () => setUpLocal(context, bound, this.#devices));
      return { ...done, measure: { by: 'fileSystem', path: done.prepared.hostPath } };
    }
    const done = await this.#setUpPlain(context, sourceOf(bound));
    const readOnly = done.prepared.readOnly || bound.readOnly;
    return { ...done, name: given.name, prepared: { ...done.prepared, readOnly } };
  }

  async #setUpCsi(pod: Pod, name: string, volume: CsiVolume): Promise<SetUpVolume> {
    const done = await this.#named(name, volume.specName, () => this.#options.csi.setUp(pod, volume));
    return { ...done, measure: { by: 'driver', path: done.prepared.hostPath, volume } };
  }

  /** `shown` is the name that users look for: that of the PersistentVolume. */
  async #named(name: string, shown: string, setUp: () => Promise<PreparedCsiVolume>): Promise<SetUpVolume> {
    try {
      const { refreshAtMs, ...prepared } = await setUp();
      return { name, prepared, refreshAtMs };
    } catch (err) {
      const { operation = 'SetUp' } = err instanceof VolumeError ? err : {};
      const message = `MountVolume.${operation} failed for volume "${shown}" : ${describeError(err)}`;
      throw new VolumeError(message, { cause: err });
    }
  }

  async #mapped(name: string, shown: string, map: () => Promise<PreparedCsiVolume>): Promise<SetUpVolume> {
    try {
      const { refreshAtMs, ...prepared } = await map();
      return { name, prepared, refreshAtMs };
    } catch (err) {
      const message = `MapVolume.SetUpDevice failed for volume "${shown}" : ${describeError(err)}`;
      throw new VolumeError(message, { cause: err, reason: 'FailedMapVolume' });
    }
  }

  async #setUpPlain(context: VolumeContext, volume: IVolume): Promise<SetUpVolume> {
    const kind = kindOf(volume);
    if (kind === undefined) {
      const type = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new VolumeError(`volume "${volume.name}": type ${type} is not supported by this agent`);
    }
    try {
      if (kind.type === 'directory') {
        const prepared = await kind.setUp(context, volume);
        const { hostPath: path } = prepared;
        const measure = kind.measuredBy === undefined ? {} : { measure: { by: kind.measuredBy, path } };
        return { name: volume.name, prepared, ...measure };
      }
      return await this.#setUpPayload(context, volume, kind);
    } catch (err) {
      throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${describeError(err)}`, {
        cause: err,
      });
    }
  }

  async #setUpPayload(
    context: VolumeContext,
    volume: IVolume,
    kind: Extract<VolumeKind, { type: 'payload' }>,
  ): Promise<SetUpVolume> {
    const { pod, host, paths, nowMs } = context;
    const { volatile } = this.#options;
    const uid = uidOf(pod);
    const payload = await kind.render(context, volume);
    if (kind.isVolatile) volatile.take(uid, volume.name, payload.files);
    const directory = kind.isVolatile
      ? `${volatile.folder(uid)}/${kind.plugin}/${volume.name}`
      : paths.volume(uid, kind.plugin, volume.name);
    const fs = kind.isVolatile ? volatile.filesOf(uid) : host.fs;
    await fs.makeDirectory(directory, 0o755);
    const nonce = Math.floor(this.#options.random() * 1e9).toString();
    const fsGroup = specOf(pod).securityContext?.fsGroup;
    await writePayload(payload.files, { fs, directory, nowMs, nonce, fsGroup });
    return {
      name: volume.name,
      prepared: { hostPath: directory, readOnly: true, isRendered: true },
      refreshAtMs: payload.refreshAtMs,
      measure: { by: 'walk', path: directory },
    };
  }

  #context(pod: Pod, signal: AbortSignal | undefined): VolumeContext {
    const { host, paths, configMaps, secrets, tokens, clock, allocatable, claims, pullImage } = this.#options;
    const namespace = namespaceOf(pod);
    const uid = uidOf(pod);
    return {
      pod,
      host,
      paths,
      nowMs: clock.now(),
      allocatable: allocatable(),
      configMap: (name) => configMaps.read(uid, namespace, name),
      secret: (name) => secrets.read(uid, namespace, name),
      token: (request) => tokens.token(pod, request),
      claim: (name) => claims.claim(uid, namespace, name),
      persistentVolume: (name) => claims.persistentVolume(uid, name),
      pullImage: (volume, reference, policy) => pullImage(pod, { volume, reference, policy, signal }),
    };
  }
}

const isClaim = ({ persistentVolumeClaim, ephemeral }: IVolume) =>
  persistentVolumeClaim !== undefined || ephemeral !== undefined;

function kindOf(volume: IVolume): VolumeKind | undefined {
  // A volume without a source is an empty directory.
  if (Object.keys(volume).every((key) => key === 'name')) return emptyDir;
  for (const key of Object.keys(KINDS) as (keyof typeof KINDS)[]) if (volume[key] !== undefined) return KINDS[key];
  return undefined;
}
