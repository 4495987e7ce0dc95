import type { ConfigMap } from '#api/object/kinds.ts';
import {
  encodeText,
  selectKeys,
  type VolumeContext,
  VolumeError,
  type VolumeFile,
  type VolumeKind,
} from './volume-kind.ts';

interface ConfigMapSource {
  readonly name?: string;
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly optional?: boolean;
}

export const configMap: VolumeKind = {
  type: 'payload',
  plugin: 'kubernetes.io~configmap',
  isVolatile: false,
  async render(context, volume) {
    const source = volume.configMap ?? {};
    return { files: await configMapFiles(context, source, source.defaultMode) };
  },
};

/** Shared with projected volumes. */
export async function configMapFiles(
  context: VolumeContext,
  source: ConfigMapSource,
  defaultMode: number | undefined,
): Promise<Map<string, VolumeFile>> {
  const { name = '', items, optional: isOptional = false } = source;
  const object = await context.configMap(name);
  if (object === undefined && !isOptional) throw new VolumeError(`configmap "${name}" not found`);
  const missing = 'configmap references non-existent config key';
  return selectKeys(object === undefined ? new Map() : contentOf(object), { items, defaultMode, isOptional, missing });
}

function contentOf(object: ConfigMap): Map<string, Uint8Array> {
  const content = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(object.data ?? {})) content.set(key, encodeText(value));
  for (const [key, value] of Object.entries(object.binaryData ?? {})) content.set(key, Buffer.from(value, 'base64'));
  return content;
}
