import type { CgroupFacts } from './cgroups.ts';

/** The one door to the operating system: everything else in the agent asks here, so that it can run against a fake. */

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A program could not be started (exitCode null) or ended with a code other than 0. */
export class ExecError extends Error {
  override readonly name = 'ExecError';
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly stderr: string;
  /** Some programs complain here. */
  readonly stdout: string;
  constructor(
    argv: readonly string[],
    exitCode: number | null,
    stderr: string,
    options: { readonly cause?: unknown; readonly stdout?: string } = {},
  ) {
    super(
      `${argv.join(' ')}: ${exitCode === null ? 'could not be run' : `exit code ${exitCode}`}: ${stderr.trim()}`,
      options,
    );
    this.stdout = options.stdout ?? '';
    this.argv = argv;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

export interface ExecOptions {
  readonly stdin?: string | Uint8Array;
  /** Killed with SIGKILL after this; default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Which lines of the output are wanted: the others are dropped as they come, and do not count against the limit. */
  readonly keepLine?: (line: string) => boolean;
}

export interface Executor {
  /** Runs argv without a shell; throws ExecError. Output beyond 64 MiB is an error. */
  run(argv: readonly [string, ...string[]], options?: ExecOptions): Promise<ExecResult>;
  /** Absolute path of a program on PATH (with the sbin directories), or undefined. */
  find(program: string): Promise<string | undefined>;
  /** A long-running program whose output lines are delivered until aborted; resolves with its exit code. */
  stream(
    argv: readonly [string, ...string[]],
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<number | null>;
}

export interface FileInfo {
  readonly type: 'file' | 'directory' | 'symlink' | 'socket' | 'char' | 'block' | 'fifo';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly inode: number;
  readonly modifiedMs: number;
}

/** Errors carry Node's `code` (ENOENT ...). */
export interface FileSystem {
  readText(path: string): Promise<string>;
  readBytes(path: string): Promise<Uint8Array>;
  /**
   * Text of a regular file below `root`, never through a symbolic link: what a container wrote into its volume must not lead out of it.
   * ENOENT when absent; other codes when it is no such file or larger than `maxBytes`.
   */
  readTextBeneath(root: string, path: string, maxBytes: number): Promise<string>;
  /** Directory entry names; [] when the directory does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** Does not follow symlinks; undefined when absent. */
  info(path: string): Promise<FileInfo | undefined>;
  makeDirectory(path: string, mode?: number): Promise<void>;
  /** Temporary file, fsync where `durable`, rename over the target, fsync of the directory. */
  writeAtomic(
    path: string,
    content: string | Uint8Array,
    options?: { readonly mode?: number; readonly durable?: boolean },
  ): Promise<void>;
  /** In place. `mode` (0644 where absent) is that of a file which is made; one that is there keeps its own, unless the umask would cut it. */
  write(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readLink(path: string): Promise<string | undefined>;
  rename(from: string, to: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /**
   * Gives a tree to a group that may read and write it, and lets what is made in it inherit the group; never through a symbolic link.
   * `unlessRootIs` leaves everything as it is where the top alone is the group's already.
   */
  giveToGroup(path: string, gid: number, unlessRootIs: boolean): Promise<void>;
  /** Recursive; absent is fine. Never crosses into a mount point: unmount first. */
  remove(path: string): Promise<void>;
  /**
   * Removes directories by rmdir alone, from the leaves up: a cgroup's files cannot be unlinked. Absent is fine, and what is not empty
   * (a cgroup with processes in it too) stays with all above it.
   */
  removeEmptyDirectories(path: string): Promise<void>;
  /** Opens for positioned reads; for log following. */
  open(path: string): Promise<ReadableFile>;
  /** Fires (without detail) when something under the path changed, until aborted. */
  watch(path: string, onChange: () => void, signal: AbortSignal): void;
  /** What a directory takes on its disk, files below it included, without crossing into mounts; nothing when absent. */
  usage(path: string): Promise<{ readonly bytes: number; readonly inodes: number }>;
  /** Compresses a file into another one, with the same mode; a bounded amount is in memory. */
  gzip(from: string, to: string): Promise<void>;
  diskUsage(path: string): Promise<{
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly totalInodes: number;
    readonly freeInodes: number;
  }>;
}

/** The calls that sets of small files are written and read with. */
export type SmallFiles = Pick<
  FileSystem,
  'list' | 'info' | 'readBytes' | 'readLink' | 'makeDirectory' | 'write' | 'chown' | 'symlink' | 'rename' | 'remove'
>;

export interface ReadableFile {
  readonly inode: number;
  sizeBytes(): Promise<number>;
  /** Bytes read at `position`; empty at the end. */
  read(position: number, maxBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface MountRequest {
  readonly fsType: string;
  readonly source: string;
  readonly path: string;
  readonly options: readonly string[];
  /** Network file systems may take their time. */
  readonly timeoutMs?: number;
  /** Its helper processes outlive us: under systemd they run in a scope of their own. */
  readonly inScope?: boolean;
}

export interface MountPoint {
  readonly path: string;
  readonly source: string;
  readonly fsType: string;
  /** Of the file system, not of the mount: `size=64k`, `noswap` ... */
  readonly options: readonly string[];
}

export interface Mounter {
  list(): Promise<readonly MountPoint[]>;
  mountTmpfs(
    path: string,
    options: { readonly sizeBytes?: number; readonly mode?: number; readonly gid?: number | undefined },
  ): Promise<void>;
  bind(source: string, path: string, readOnly: boolean): Promise<void>;
  mount(request: MountRequest): Promise<void>;
  /**
   * Mounts what `path` leads to below `root` at `target`, never through a symbolic link: whoever writes below the root while this is under
   * way changes nothing about it. Missing directories are made, with the mode of the root. What was mounted at the target before is unmounted.
   */
  bindBeneath(root: string, path: string, target: string): Promise<void>;
  /** Unmounts, lazily if busy; absent is fine. */
  unmount(path: string): Promise<void>;
}

export interface HostAddress {
  readonly interfaceName: string;
  readonly address: string;
  readonly family: 4 | 6;
  readonly prefixLength: number;
}

export interface HostFacts {
  readonly hostname: string;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** Kubernetes' spelling: amd64, arm64. */
  readonly architecture: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
}

/** A TCP (or unix) byte stream opened on this host. */
export interface Dialer {
  tcp(
    host: string,
    port: number,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<import('node:stream').Duplex>;
}

export interface DnsServerAddress {
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
}

export interface DnsPeer {
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
}

export interface DnsExchangeOptions {
  readonly timeoutMs: number;
  /** Whether a message is the answer that is waited for. */
  readonly accept: (answer: Uint8Array) => boolean;
}

export type DnsExchange = (
  server: DnsServerAddress,
  message: Uint8Array,
  options: DnsExchangeOptions,
) => Promise<Uint8Array>;

export interface DnsListenOptions {
  readonly address: string;
  /** Of UDP and TCP; 0 asks for a free one. */
  readonly port: number;
  /** Answers one message; undefined: none is sent. */
  readonly handle: (message: Uint8Array, peer: DnsPeer) => Promise<Uint8Array | undefined>;
}

export interface DnsListener {
  readonly port: number;
  close(): Promise<void>;
}

/** DNS messages over UDP and TCP. */
export interface DnsSockets {
  listen(options: DnsListenOptions): Promise<DnsListener>;
  readonly exchange: DnsExchange;
}

export interface DatagramOptions {
  readonly address: string;
  /** 0 asks for a free one. */
  readonly port: number;
  readonly onMessage: (message: Uint8Array) => void;
}

export interface DatagramSocket {
  readonly port: number;
  /** What cannot be sent is lost. */
  send(message: Uint8Array, to: { readonly address: string; readonly port: number }): void;
  close(): void;
}

export interface Host {
  readonly exec: Executor;
  readonly fs: FileSystem;
  /** For paths on a tmpfs alone. */
  readonly memory: SmallFiles;
  readonly mounts: Mounter;
  readonly dialer: Dialer;
  readonly dns: DnsSockets;
  /** Plain UDP. Rejects when the address is taken or is not this host's. */
  readonly openDatagrams: (options: DatagramOptions) => Promise<DatagramSocket>;
  facts(): Promise<HostFacts>;
  addresses(): Promise<readonly HostAddress[]>;
  /** Source address that the kernel would use towards `destination`. */
  sourceAddressTo(destination: string): Promise<string | undefined>;
  cgroups(): Promise<CgroupFacts>;
  /** Milliseconds since boot, suspended time included. */
  bootTimeMs(): Promise<number>;
  resolvConf(): Promise<{
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  }>;
  readSysctl(name: string): Promise<string | undefined>;
  /** Returns false when the kernel has no such key or refuses it. */
  writeSysctl(name: string, value: string): Promise<boolean>;
}
