import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret } from '#api/object/kinds.ts';
import type { Host } from '../../host/host.ts';
import type { PreparedVolume } from '../config/container-config.ts';
import type { NodeAllocatable } from '../config/field-ref.ts';
import type { PodPaths } from '../config/pod-paths.ts';

/** What volumes may ask of the rest of the kubelet. */
export interface VolumeContext {
  readonly pod: Pod;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly nowMs: number;
  readonly allocatable: NodeAllocatable;
  configMap(name: string): Promise<ConfigMap | undefined>;
  secret(name: string): Promise<Secret | undefined>;
  token(request: TokenSpec): Promise<ProjectedToken>;
  /** A claim of the pod's namespace, and a volume of the cluster; undefined where there is none. */
  claim(name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
  /** Sees to the image of a volume; returns its id. Throws where the runtime cannot mount images. */
  pullImage(volume: string, reference: string, policy: string | undefined): Promise<string>;
}

export interface TokenSpec {
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

export interface ProjectedToken {
  readonly token: string;
  /** Epoch ms after which a new one is to be asked for. */
  readonly refreshAtMs: number;
  /** Epoch ms at which it ends. */
  readonly expiresAtMs?: number;
}

/** A file of a rendered volume. Paths are relative, with `/`. */
export interface VolumeFile {
  readonly content: Uint8Array;
  readonly mode: number;
  /** Owner where the file must be readable by one user only (tokens). */
  readonly uid?: number;
}

export interface Payload {
  readonly files: ReadonlyMap<string, VolumeFile>;
  /** Epoch ms after which the payload must be rendered again although no object changed. */
  readonly refreshAtMs?: number;
}

/** One kind of volume. `payload` kinds render files, which are swapped in atomically and kept up to date. */
export type VolumeKind =
  | {
      readonly type: 'directory';
      /** What it mounts is below `pods/<uid>/volumes`, where take-down finds it. Called again for what stands already. */
      setUp(context: VolumeContext, volume: IVolume): Promise<PreparedVolume>;
      /** How its use is found out; absent where it is not asked for: a folder of the host may be all of the host. */
      readonly measuredBy?: 'walk' | 'server';
    }
  | {
      readonly type: 'payload';
      readonly plugin: string;
      /** Kept in memory, as it holds secrets. */
      readonly isVolatile: boolean;
      render(context: VolumeContext, volume: IVolume): Promise<Payload>;
    };

/** A volume cannot be had now: event FailedMount, and the pod waits. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
  /** Of the event. */
  readonly reason: 'FailedMount' | 'FailedMapVolume';
  /** What failed: the volume for its pod, or what is done once for all pods of the node. */
  readonly operation: 'SetUp' | 'MountDevice';
  constructor(message: string, options: VolumeErrorOptions = {}) {
    super(message, options);
    this.reason = options.reason ?? 'FailedMount';
    this.operation = options.operation ?? 'SetUp';
  }
}

interface VolumeErrorOptions {
  readonly cause?: unknown;
  readonly reason?: VolumeError['reason'];
  readonly operation?: VolumeError['operation'];
}

const DEFAULT_FILE_MODE = 0o644;

interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

/** Chooses the keys of a ConfigMap or Secret and where they go; all keys when `items` is empty. */
export function selectKeys(
  source: ReadonlyMap<string, Uint8Array>,
  options: {
    readonly items: readonly KeyToPath[] | undefined;
    readonly defaultMode: number | undefined;
    readonly isOptional: boolean;
    /** How Kubernetes words a missing key of this kind, up to the key. */
    readonly missing: string;
  },
): Map<string, VolumeFile> {
  const { items, defaultMode = DEFAULT_FILE_MODE, isOptional, missing } = options;
  const files = new Map<string, VolumeFile>();
  if (items === undefined || items.length === 0) {
    for (const [key, content] of source) files.set(key, { content, mode: defaultMode });
    return files;
  }
  for (const { key, path, mode } of items) {
    const content = source.get(key);
    if (content === undefined) {
      if (isOptional) continue;
      throw new VolumeError(`${missing}: ${key}`);
    }
    files.set(safePath(path), { content, mode: mode ?? defaultMode });
  }
  return files;
}

/** The API server validates this too; a path that escapes would write on the host, so we look again. */
export function safePath(path: string): string {
  if (path.startsWith('/') || path.split('/').includes('..') || path.startsWith('..'))
    throw new VolumeError(`invalid path ${JSON.stringify(path)} in volume`);
  return path;
}

const encoder = new TextEncoder();
export const encodeText = (text: string): Uint8Array => encoder.encode(text);
