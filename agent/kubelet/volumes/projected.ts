import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Pod } from '#api/object/kinds.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { configMapFiles } from './config-map.ts';
import { downwardFiles } from './downward-api.ts';
import { secretFiles } from './secret.ts';
import {
  encodeText,
  safePath,
  type VolumeContext,
  VolumeError,
  type VolumeFile,
  type VolumeKind,
} from './volume-kind.ts';

type Source = NonNullable<NonNullable<IVolume['projected']>['sources']>[number];

interface SourceFiles {
  readonly files: ReadonlyMap<string, VolumeFile>;
  readonly refreshAtMs?: number;
}

const DEFAULT_TOKEN_SECONDS = 3600;

export const projected: VolumeKind = {
  type: 'payload',
  plugin: 'kubernetes.io~projected',
  isVolatile: true,
  async render(context, volume) {
    const { sources = [], defaultMode = 0o644 } = volume.projected ?? {};
    const parts = await Promise.all(sources.map((source) => renderSource(context, source, defaultMode)));
    const files = new Map<string, VolumeFile>();
    for (const part of parts) for (const [path, file] of part.files) files.set(path, file);
    const refreshes = parts.flatMap((part) => part.refreshAtMs ?? []);
    return { files, ...(refreshes.length === 0 ? {} : { refreshAtMs: Math.min(...refreshes) }) };
  },
};

async function renderSource(context: VolumeContext, source: Source, defaultMode: number): Promise<SourceFiles> {
  if (source.configMap !== undefined) return { files: await configMapFiles(context, source.configMap, defaultMode) };
  if (source.secret !== undefined) return { files: await secretFiles(context, source.secret, defaultMode) };
  if (source.downwardAPI !== undefined)
    return { files: downwardFiles(context, source.downwardAPI.items ?? [], defaultMode) };
  if (source.serviceAccountToken !== undefined) return tokenFile(context, source.serviceAccountToken, defaultMode);
  throw new VolumeError(`projected volume source ${Object.keys(source).join(', ')} is not supported by this agent`);
}

async function tokenFile(
  context: VolumeContext,
  source: NonNullable<Source['serviceAccountToken']>,
  defaultMode: number,
): Promise<SourceFiles> {
  const { audience, expirationSeconds = DEFAULT_TOKEN_SECONDS, path } = source;
  const { token, refreshAtMs } = await context.token({ audience, expirationSeconds });
  const { fsGroup } = specOf(context.pod).securityContext ?? {};
  const user = onlyUserOf(context.pod);
  // A token belongs to the pod's processes alone: readable by their group, or by their one user.
  const access = {
    mode: fsGroup !== undefined ? 0o640 : user !== undefined ? 0o600 : defaultMode,
    ...(user === undefined ? {} : { uid: user }),
  };
  return { files: new Map([[safePath(path), { content: encodeText(token), ...access }]]), refreshAtMs };
}

/** The user that all containers run as; undefined where one does not say, or they differ: then none may be shut out. */
function onlyUserOf(pod: Pod): number | undefined {
  const ofPod = specOf(pod).securityContext?.runAsUser;
  const users = new Set(allContainers(pod).map(({ securityContext }) => securityContext?.runAsUser ?? ofPod));
  return users.size === 1 ? [...users][0] : undefined;
}
