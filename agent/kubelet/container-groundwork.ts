import type { IContainer } from 'kubernetes-models/v1/Container';
import type { ConfigMap, Pod, Secret } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { FileSystem } from '../host/host.ts';
import { ConfigError } from './config/config-error.ts';
import type { PreparedVolume } from './config/container-config.ts';
import { envFileKey, environmentFiles, environmentReferences, type SourceObjects } from './config/environment.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { namespaceOf, type PodUid, uidOf } from './pod-spec.ts';
import type { ReferencedObjects } from './referenced-objects.ts';

export interface GroundworkDeps {
  readonly fs: FileSystem;
  readonly paths: PodPaths;
  readonly configMaps: ReferencedObjects<ConfigMap>;
  readonly secrets: ReferencedObjects<Secret>;
}

export interface GroundworkRequest {
  readonly pod: Pod;
  readonly container: IContainer;
  readonly attempt: number;
  /** Asked for only where a file of a volume is read. */
  readonly volumes: () => Promise<ReadonlyMap<string, PreparedVolume>>;
}

const MAX_ENV_FILE_BYTES = 64 * 1024;

/**
 * The part of a container's start that its sandbox has nothing to do with, so that it is done while that is being made: its folders and
 * files on the host are there, and what its variables come from has been read. Throws ConfigError for what the user has to mend.
 */
export async function layGroundwork(deps: GroundworkDeps, request: GroundworkRequest): Promise<SourceObjects> {
  const { pod, container, attempt } = request;
  const { fs, paths } = deps;
  const [sources] = await Promise.all([
    readSources(deps, request),
    makeTerminationLog(fs, paths.terminationLog(pod.metadata.uid, container.name, attempt)),
    makeLogFolder(fs, paths.logDirectory(pod), container.name),
  ]);
  return sources;
}

/** A runtime that makes the upper one itself may make it for root alone. */
async function makeLogFolder(fs: FileSystem, ofPod: string, container: string): Promise<void> {
  await fs.makeDirectory(ofPod, 0o755);
  await fs.makeDirectory(`${ofPod}/${container}`, 0o755);
}

async function readSources(deps: GroundworkDeps, request: GroundworkRequest): Promise<SourceObjects> {
  const { pod, container } = request;
  const names = environmentReferences(container);
  const [configMaps, secrets, files] = await Promise.all([
    readObjects(deps.configMaps, pod, names.configMaps),
    readObjects(deps.secrets, pod, names.secrets),
    readFiles(deps.fs, request),
  ]);
  return { configMaps, secrets, files };
}

async function readObjects<T>(
  from: { read(pod: PodUid, namespace: string, name: string): Promise<T | undefined> },
  pod: Pod,
  names: readonly string[],
): Promise<ReadonlyMap<string, T | undefined>> {
  const read = async (name: string) => [name, await from.read(uidOf(pod), namespaceOf(pod), name)] as const;
  return new Map(await Promise.all(names.map(read)));
}

async function readFiles(fs: FileSystem, { container, volumes }: GroundworkRequest): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { volumeName, path } of environmentFiles(container)) {
    const volume = (await volumes()).get(volumeName);
    if (volume === undefined) continue;
    try {
      found.set(envFileKey(volumeName, path), await fs.readTextBeneath(volume.hostPath, path, MAX_ENV_FILE_BYTES));
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new ConfigError(`couldn't parse env file: ${describeError(err)}`, { cause: err });
    }
  }
  return found;
}

/** Writable by whatever user the container runs as. */
async function makeTerminationLog(fs: FileSystem, path: string): Promise<void> {
  await fs.makeDirectory(path.slice(0, path.lastIndexOf('/')), 0o755);
  await fs.write(path, '', 0o666);
}
