import { selectKeys, type VolumeContext, VolumeError, type VolumeFile, type VolumeKind } from './volume-kind.ts';

interface SecretSource {
  readonly name?: string;
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly optional?: boolean;
}

export const secret: VolumeKind = {
  type: 'payload',
  plugin: 'kubernetes.io~secret',
  isVolatile: true,
  async render(context, volume) {
    const { secretName, items, optional, defaultMode } = volume.secret ?? {};
    const source = {
      ...(secretName === undefined ? {} : { name: secretName }),
      ...(items === undefined ? {} : { items }),
      ...(optional === undefined ? {} : { optional }),
    };
    return { files: await secretFiles(context, source, defaultMode) };
  },
};

/** Shared with projected volumes. */
export async function secretFiles(
  context: VolumeContext,
  source: SecretSource,
  defaultMode: number | undefined,
): Promise<Map<string, VolumeFile>> {
  const { name = '', items, optional: isOptional = false } = source;
  const object = await context.secret(name);
  if (object === undefined && !isOptional) throw new VolumeError(`secret "${name}" not found`);
  const content = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(object?.data ?? {})) content.set(key, Buffer.from(value, 'base64'));
  const missing = 'references non-existent secret key';
  return selectKeys(content, { items, defaultMode, isOptional, missing });
}
