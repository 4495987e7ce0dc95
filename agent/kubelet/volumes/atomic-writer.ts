import type { SmallFiles } from '../../host/host.ts';
import type { VolumeFile } from './volume-kind.ts';

const DATA = '..data';
const NEXT = '..data_tmp';

export interface AtomicWriterOptions {
  readonly fs: SmallFiles;
  readonly directory: string;
  readonly nowMs: number;
  /** Distinguishes versions written within one second. */
  readonly nonce: string;
  readonly fsGroup: number | undefined;
}

/**
 * Writes a set of files so that a reader sees the old set or the new one, never a mix: files go into a fresh directory, and `..data`,
 * through which every visible name leads, is swapped over by one rename. Programs watch `..data` for changes, as in Kubernetes. Returns
 * false, having written nothing, when the content is what is there already.
 */
export async function writePayload(
  files: ReadonlyMap<string, VolumeFile>,
  options: AtomicWriterOptions,
): Promise<boolean> {
  const { fs, directory, nowMs, nonce, fsGroup } = options;
  const before = await fs.list(directory);
  const current = before.includes(DATA) ? await fs.readLink(`${directory}/${DATA}`) : undefined;
  if (current !== undefined && (await isSame(fs, `${directory}/${current}`, files))) {
    await alignNames(fs, directory, { files, version: current, before });
    return false;
  }

  const version = `..${timestamp(nowMs)}.${nonce}`;
  const target = `${directory}/${version}`;
  await fs.makeDirectory(target, 0o755);
  const written = await Promise.allSettled(
    [...files].map(([path, file]) => writeFile(fs, { target, path, file, fsGroup })),
  );
  const failed = written.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    // Tried again and again, what is half done would fill what is full already.
    await fs.remove(target);
    throw failed.reason;
  }
  // An agent that was killed here before us has left its own.
  if (before.includes(NEXT)) await fs.remove(`${directory}/${NEXT}`);
  await fs.symlink(version, `${directory}/${NEXT}`);
  await fs.rename(`${directory}/${NEXT}`, `${directory}/${DATA}`);
  await alignNames(fs, directory, { files, version, before });
  return true;
}

interface NewFile {
  /** The folder of the version, which is there. */
  readonly target: string;
  readonly path: string;
  readonly file: VolumeFile;
  readonly fsGroup: number | undefined;
}

async function writeFile(fs: SmallFiles, { target, path, file, fsGroup }: NewFile): Promise<void> {
  const folder = path.slice(0, Math.max(0, path.lastIndexOf('/')));
  if (folder !== '') await fs.makeDirectory(`${target}/${folder}`, 0o755);
  const whole = `${target}/${path}`;
  await fs.write(whole, file.content, fsGroup === undefined ? file.mode : file.mode | 0o440);
  if (fsGroup !== undefined || file.uid !== undefined) await fs.chown(whole, file.uid ?? 0, fsGroup ?? 0);
}

interface Shown {
  readonly files: ReadonlyMap<string, VolumeFile>;
  /** The folder that `..data` leads to. */
  readonly version: string;
  /** What was in the directory before. */
  readonly before: readonly string[];
}

/**
 * First path elements are the names that users see: each is a link through `..data`. Versions but the present one go, also those that an
 * agent left behind which was killed on the way.
 */
async function alignNames(fs: SmallFiles, directory: string, { files, version, before }: Shown): Promise<void> {
  const wanted = new Set([...files.keys()].map((path) => path.split('/')[0] ?? path));
  const kept = new Set([...wanted, DATA, version]);
  await Promise.all([
    ...[...wanted]
      .filter((name) => !before.includes(name))
      .map((name) => fs.symlink(`${DATA}/${name}`, `${directory}/${name}`)),
    ...before.filter((name) => !kept.has(name)).map((name) => fs.remove(`${directory}/${name}`)),
  ]);
}

async function isSame(fs: SmallFiles, directory: string, files: ReadonlyMap<string, VolumeFile>): Promise<boolean> {
  const present = await listFiles(fs, directory, '');
  if (present.length !== files.size) return false;
  for (const path of present) {
    const file = files.get(path);
    if (file === undefined || Buffer.compare(await fs.readBytes(`${directory}/${path}`), file.content) !== 0)
      return false;
  }
  return true;
}

async function listFiles(fs: SmallFiles, directory: string, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await fs.list(directory)) {
    const info = await fs.info(`${directory}/${name}`);
    if (info?.type === 'directory') found.push(...(await listFiles(fs, `${directory}/${name}`, `${prefix}${name}/`)));
    else found.push(`${prefix}${name}`);
  }
  return found;
}

/** `2026_01_02_15_04_05`, as the kubelet names versions. */
function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replace(/[-T:]/g, '_');
}
