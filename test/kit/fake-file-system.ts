import { dirname, normalize } from 'node:path';
import type { FileInfo, FileSystem, ReadableFile } from '#agent/host/host.ts';

interface FakeNode {
  type: FileInfo['type'];
  mode: number;
  uid: number;
  gid: number;
  content: Uint8Array;
  readonly inode: number;
  modifiedMs: number;
  target: string;
}

const encode = (content: string | Uint8Array) =>
  typeof content === 'string' ? new TextEncoder().encode(content) : content;

function fsError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/** A file tree in memory. Parent directories must exist, as on a real one; `/` always does. */
export class FakeFileSystem implements FileSystem {
  readonly #nodes = new Map<string, FakeNode>();
  readonly #watchers = new Set<{ readonly path: string; readonly onChange: () => void }>();
  readonly #failures = new Map<string, Error>();
  #nextInode = 2;
  /** Paths written with `durable`, in order. */
  readonly durableWrites: string[] = [];

  constructor() {
    this.#put('/', 'directory', 0o755);
  }

  /** What the disk tells. */
  disk = { totalBytes: 100e9, freeBytes: 60e9, totalInodes: 1e6, freeInodes: 9e5 };

  /** Test helper: writes a file and the directories above it. */
  seed(path: string, content: string | Uint8Array): void {
    this.#makeParents(path);
    this.#setContent(normalize(path), encode(content), 0o644);
  }

  /** Test helper: something that is neither file nor directory. */
  seedDevice(path: string, type: 'block' | 'char' | 'socket'): void {
    this.#makeParents(path);
    this.#put(normalize(path), type, 0o660);
  }

  /** Test helper: appends to a file as a container's log writer does. */
  append(path: string, text: string): void {
    const node = this.#nodes.get(normalize(path));
    if (node === undefined) {
      this.seed(path, text);
      return;
    }
    node.content = Buffer.concat([node.content, encode(text)]);
    this.#notify(normalize(path));
  }

  /** Test helper: every operation on the path throws until `failWith(path, undefined)`. */
  failWith(path: string, error: Error | undefined): void {
    if (error === undefined) this.#failures.delete(normalize(path));
    else this.#failures.set(normalize(path), error);
  }

  /** Test helper: all paths below, sorted. */
  paths(under = '/'): string[] {
    return [...this.#nodes.keys()].filter((path) => path !== '/' && isUnder(path, normalize(under))).sort();
  }

  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.readBytes(path));
  }

  async readBytes(path: string): Promise<Uint8Array> {
    const node = this.#require(path);
    if (node.type === 'directory') throw fsError('EISDIR', path);
    return node.content;
  }

  async usage(path: string): Promise<{ bytes: number; inodes: number }> {
    const inside = this.paths(path);
    const sizes = await Promise.all(inside.map(async (entry) => (await this.info(entry))?.sizeBytes ?? 0));
    return { bytes: sizes.reduce((sum, size) => sum + size, 0), inodes: inside.length };
  }

  async gzip(from: string, to: string): Promise<void> {
    await this.write(to, `gzip of ${await this.readText(from)}`);
  }

  async readTextBeneath(root: string, path: string): Promise<string> {
    return this.readText(`${root}/${path}`);
  }

  async list(path: string): Promise<readonly string[]> {
    const folder = this.#resolve(path);
    const prefix = folder === '/' ? '/' : `${folder}/`;
    return [...this.#nodes.keys()]
      .filter((name) => name !== '/' && name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
      .map((name) => name.slice(prefix.length))
      .sort();
  }

  async info(path: string): Promise<FileInfo | undefined> {
    this.#check(path);
    const parent = this.#resolve(dirname(normalize(path)));
    const node = this.#nodes.get(normalize(`${parent}/${normalize(path).split('/').at(-1)}`));
    if (node === undefined) return undefined;
    const { type, mode, uid, gid, inode, modifiedMs } = node;
    return { type, mode, uid, gid, inode, modifiedMs, sizeBytes: node.content.length };
  }

  async makeDirectory(path: string, mode = 0o755): Promise<void> {
    this.#check(path);
    this.#makeParents(path);
    const existing = this.#nodes.get(normalize(path));
    if (existing === undefined) this.#put(normalize(path), 'directory', mode);
    else if (existing.type !== 'directory') throw fsError('EEXIST', path);
  }

  async writeAtomic(
    path: string,
    content: string | Uint8Array,
    options: { readonly mode?: number; readonly durable?: boolean } = {},
  ): Promise<void> {
    this.#check(path);
    this.#requireParent(path);
    if (options.durable === true) this.durableWrites.push(path);
    this.#nodes.delete(this.#resolve(path));
    this.#setContent(this.#resolve(path), encode(content), options.mode ?? 0o644);
  }

  async write(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    this.#check(path);
    this.#requireParent(path);
    this.#setContent(this.#resolve(path), encode(content), mode);
  }

  async symlink(target: string, path: string): Promise<void> {
    this.#check(path);
    this.#requireParent(path);
    if (this.#nodes.has(normalize(path))) throw fsError('EEXIST', path);
    this.#put(normalize(path), 'symlink', 0o777).target = target;
    this.#notify(normalize(path));
  }

  async readLink(path: string): Promise<string | undefined> {
    const node = this.#nodes.get(normalize(path));
    return node?.type === 'symlink' ? node.target : undefined;
  }

  async giveToGroup(path: string, gid: number): Promise<void> {
    for (const name of [path, ...this.paths(path)]) {
      const node = this.#require(name);
      node.gid = gid;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check(from);
    this.#requireParent(to);
    const source = normalize(from);
    const target = normalize(to);
    if (!this.#nodes.has(source)) throw fsError('ENOENT', from);
    const moved = [...this.#nodes].filter(([path]) => isUnder(path, source));
    for (const path of [...this.#nodes.keys()]) if (isUnder(path, target)) this.#nodes.delete(path);
    for (const [path, node] of moved) {
      this.#nodes.delete(path);
      this.#nodes.set(target + path.slice(source.length), node);
    }
    this.#notify(source);
    this.#notify(target);
  }

  async chmod(path: string, mode: number): Promise<void> {
    this.#require(path).mode = mode;
  }

  async chown(path: string, uid: number, gid: number): Promise<void> {
    Object.assign(this.#require(path), { uid, gid });
  }

  async remove(path: string): Promise<void> {
    this.#check(path);
    const target = normalize(path);
    for (const name of [...this.#nodes.keys()]) if (isUnder(name, target) && name !== '/') this.#nodes.delete(name);
    this.#notify(target);
  }

  async removeEmptyDirectories(path: string): Promise<void> {
    this.#check(path);
    // The deepest come first, so that a directory is empty by its turn if it ever will be.
    const inside = this.paths(path).sort((a, b) => b.length - a.length);
    for (const name of inside) {
      const isEmpty = !this.paths(name).some((other) => other !== name);
      if (isEmpty && this.#nodes.get(name)?.type === 'directory') this.#nodes.delete(name);
    }
    this.#notify(normalize(path));
  }

  async open(path: string): Promise<ReadableFile> {
    const node = this.#require(path);
    return {
      inode: node.inode,
      sizeBytes: async () => node.content.length,
      read: async (position, maxBytes) => node.content.slice(position, position + maxBytes),
      close: async () => {},
    };
  }

  watch(path: string, onChange: () => void, signal: AbortSignal): void {
    const watcher = { path: normalize(path), onChange };
    this.#watchers.add(watcher);
    signal.addEventListener('abort', () => this.#watchers.delete(watcher), { once: true });
  }

  async diskUsage() {
    return this.disk;
  }

  #put(path: string, type: FileInfo['type'], mode: number): FakeNode {
    const node: FakeNode = {
      type,
      mode,
      uid: 0,
      gid: 0,
      content: new Uint8Array(),
      inode: this.#nextInode++,
      modifiedMs: 0,
      target: '',
    };
    this.#nodes.set(path, node);
    return node;
  }

  #setContent(path: string, content: Uint8Array, mode: number): void {
    const node = this.#nodes.get(path) ?? this.#put(path, 'file', mode);
    if (node.type === 'directory') throw fsError('EISDIR', path);
    node.content = Uint8Array.from(content);
    this.#notify(path);
  }

  /** Follows symbolic links in every part of the path. */
  #resolve(path: string, depth = 0): string {
    if (depth > 20) throw fsError('ELOOP', path);
    let current = '';
    const parts = normalize(path).split('/').filter(Boolean);
    for (const [index, part] of parts.entries()) {
      const next = `${current}/${part}`;
      const node = this.#nodes.get(next);
      if (node?.type === 'symlink') {
        const base = node.target.startsWith('/') ? node.target : `${current}/${node.target}`;
        return this.#resolve([base, ...parts.slice(index + 1)].join('/'), depth + 1);
      }
      current = next;
    }
    return current === '' ? '/' : current;
  }

  #require(path: string): FakeNode {
    this.#check(path);
    const node = this.#nodes.get(this.#resolve(path));
    if (node === undefined) throw fsError('ENOENT', path);
    return node;
  }

  #requireParent(path: string): void {
    const parent = this.#nodes.get(this.#resolve(dirname(normalize(path))));
    if (parent === undefined) throw fsError('ENOENT', path);
    if (parent.type !== 'directory') throw fsError('ENOTDIR', path);
  }

  #makeParents(path: string): void {
    const parent = dirname(normalize(path));
    if (parent === '/' || this.#nodes.has(this.#resolve(parent))) return;
    this.#makeParents(parent);
    this.#put(this.#resolve(parent), 'directory', 0o755);
  }

  #check(path: string): void {
    const failure = this.#failures.get(normalize(path));
    if (failure !== undefined) throw failure;
  }

  #notify(path: string): void {
    for (const watcher of [...this.#watchers])
      if (isUnder(path, watcher.path) || isUnder(watcher.path, path)) queueMicrotask(watcher.onChange);
  }
}

function isUnder(path: string, folder: string): boolean {
  return path === folder || folder === '/' || path.startsWith(`${folder}/`);
}
