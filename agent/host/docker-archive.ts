import { createHash } from 'node:crypto';

/** One entry of an image's single layer; paths are relative to the root, directories end with `/`. */
export type ArchiveEntry =
  | { readonly path: string; readonly mode: number; readonly content: string | Uint8Array }
  | { readonly path: string; readonly linkTarget: string };

export interface DockerArchiveOptions {
  /** With tag: `coracle.dev/pause:1`. */
  readonly name: string;
  /** Go's spelling: amd64, arm64. */
  readonly architecture: string;
  readonly entries: readonly ArchiveEntry[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: readonly string[];
  readonly user?: string;
}

const BLOCK_BYTES = 512;

/**
 * An image as `docker save` writes it: manifest.json, configuration and one layer, which every runtime can import from a file. The same
 * options give the same bytes, so an image keeps its id over restarts.
 */
export function renderDockerArchive(options: DockerArchiveOptions): Uint8Array {
  const layer = renderTar(options.entries);
  const config = JSON.stringify({
    architecture: options.architecture,
    os: 'linux',
    config: {
      Env: options.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Entrypoint: options.entrypoint ?? null,
      Cmd: options.command ?? null,
      User: options.user ?? '',
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    created: '1970-01-01T00:00:00Z',
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'coracle' }],
  });
  const configName = `${sha256(config)}.json`;
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [options.name], Layers: ['layer.tar'] }]);
  return renderTar([
    { path: configName, mode: 0o644, content: config },
    { path: 'layer.tar', mode: 0o644, content: layer },
    { path: 'manifest.json', mode: 0o644, content: manifest },
  ]);
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A POSIX ustar archive owned by root with all times at the epoch. */
export function renderTar(entries: readonly ArchiveEntry[]): Uint8Array {
  const parts = entries.flatMap((entry) => {
    if ('linkTarget' in entry) return [tarHeader(entry.path, 0o777, 0, '2', entry.linkTarget)];
    const content = Buffer.from(entry.content as string);
    if (entry.path.endsWith('/')) return [tarHeader(entry.path, entry.mode, 0, '5', '')];
    const padding = Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES);
    return [tarHeader(entry.path, entry.mode, content.length, '0', ''), content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

type TarType = '0' | '2' | '5';

function tarHeader(path: string, mode: number, sizeBytes: number, type: TarType, linkTarget: string): Buffer {
  if (Buffer.byteLength(path) > 100 || Buffer.byteLength(linkTarget) > 100)
    throw new Error(`path too long for a tar entry: ${path}`);
  const header = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, offset: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
  header.write(path, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(0, 136, 12);
  header.write('        ', 148, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(linkTarget, 157);
  header.write('ustar\x0000', 257, 'latin1');
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
