import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FakeFileSystem } from './fake-file-system.ts';
import { FakeHost } from './fake-host.ts';

const ROOT = '/sys/fs/cgroup';
const FOLDER = join(import.meta.dirname, 'cgroups');

const fsError = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code });

/** Lines of a recording without those that say where it comes from. */
const linesOf = (name: string): string[] =>
  readFileSync(join(FOLDER, `${name}.txt`), 'utf8')
    .split('\n')
    .filter((line) => !/^# /.test(line) && line !== '');

/** What a new cgroup holds, by controller. */
const FILES: readonly { readonly controller: string; readonly name: string; readonly content: string }[] = linesOf(
  'files-v2',
).map((line) => {
  const [controller = '', name = '', ...content] = line.split(' ');
  return { controller, name, content: content.join(' ').replaceAll('\\n', '\n') };
});

/** What the kernel takes in a file of version 2, and what it then shows; others it refuses with EINVAL. */
const RULES: readonly { readonly name: RegExp; readonly pattern: RegExp; readonly shown?: (text: string) => string }[] =
  [
    { name: /^cpu\.weight$/, pattern: /^([1-9]\d{0,3}|10000)$/ },
    { name: /^cpu\.max$/, pattern: /^(max|[1-9]\d{3,}) \d+$/ },
    { name: /^pids\.max$/, pattern: /^(max|\d+)$/ },
    { name: /^(memory\.(max|min|low|high|swap\.max)|hugetlb\.\w+\.max)$/, pattern: /^(max|\d+)$/, shown: wholePages },
    { name: /^memory\.oom\.group$/, pattern: /^[01]$/ },
  ];

const PAGE_BYTES = 4096;

function wholePages(text: string): string {
  return text === 'max' ? text : String(Math.floor(Number(text) / PAGE_BYTES) * PAGE_BYTES);
}

/**
 * A file tree that treats the unified hierarchy of cgroups as the kernel does: a new group has the files of the controllers that its parent
 * hands down, and no others can be made; what is no value is refused.
 */
export class CgroupFileSystem extends FakeFileSystem {
  /** Every file that was written, in order: `path value`. */
  readonly written: string[] = [];

  override async makeDirectory(path: string, mode?: number): Promise<void> {
    const isNew = (await this.info(path)) === undefined;
    await super.makeDirectory(path, mode);
    if (isNew && path.startsWith(`${ROOT}/`)) await this.#fill(path);
  }

  override async write(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
    if (!path.startsWith(`${ROOT}/`)) return super.write(path, content, mode);
    if ((await this.info(path)) === undefined) throw fsError('EACCES', path);
    const text = (typeof content === 'string' ? content : Buffer.from(content).toString()).trim();
    const name = path.slice(path.lastIndexOf('/') + 1);
    const rule = RULES.find((one) => one.name.test(name));
    if (rule === undefined || !rule.pattern.test(text)) throw fsError('EINVAL', `${path}: ${text}`);
    this.written.push(`${path} ${text}`);
    this.seed(path, `${rule.shown?.(text) ?? text}\n`);
  }

  /** Of a cgroup only its directory is removed; its files go with it. */
  override async removeEmptyDirectories(path: string): Promise<void> {
    for (const name of await this.list(path))
      if ((await this.info(`${path}/${name}`))?.type === 'directory')
        await this.removeEmptyDirectories(`${path}/${name}`);
    const entries = await this.list(path);
    const types = await Promise.all(entries.map(async (name) => (await this.info(`${path}/${name}`))?.type));
    const processes = await this.readText(`${path}/cgroup.procs`).catch(() => '');
    if (!types.includes('directory') && processes.trim() === '') await this.remove(path);
  }

  async #fill(path: string): Promise<void> {
    const handedDown = await this.readText(`${dirname(path)}/cgroup.subtree_control`).catch(() => '');
    const controllers = handedDown.trim().split(/\s+/);
    for (const { controller, name, content } of FILES)
      if (controller === 'core' || controllers.includes(controller)) this.seed(`${path}/${name}`, `${content}\n`);
    this.seed(`${path}/cgroup.controllers`, `${controllers.join(' ')}\n`);
  }
}

export type RecordedTree = 'debian-13' | 'raspberry-pi-os' | 'hybrid';

/** A host with the cgroups of a recording. */
export async function recordedHost(tree: RecordedTree): Promise<FakeHost & { readonly fs: CgroupFileSystem }> {
  const fs = new CgroupFileSystem();
  const sections = linesOf(tree).join('\n').split(/^\[/m).slice(1);
  for (const section of sections) {
    const end = section.indexOf(']\n');
    const path = section.slice(0, end);
    await makeWithParents(fs, dirname(path));
    fs.seed(path, section.slice(end + 2));
  }
  return new FakeHost(fs) as FakeHost & { readonly fs: CgroupFileSystem };
}

async function makeWithParents(fs: CgroupFileSystem, path: string): Promise<void> {
  if (path === '/' || (await fs.info(path)) !== undefined) return;
  await makeWithParents(fs, dirname(path));
  await fs.makeDirectory(path);
}
