import type { IVolume } from 'kubernetes-models/v1/Volume';
import { specOf } from '../pod-spec.ts';
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
  const { fsGroup, runAsUser } = specOf(context.pod).securityContext ?? {};
  // A token belongs to the pod's processes alone: readable by their group, or by their one user.
  const access =
    fsGroup !== undefined
      ? { mode: 0o640 }
      : runAsUser !== undefined
        ? { mode: 0o600, uid: runAsUser }
        : { mode: defaultMode };
  return { files: new Map([[safePath(path), { content: encodeText(token), ...access }]]), refreshAtMs };
}
