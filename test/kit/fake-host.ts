import { type CgroupFacts, readCgroups } from '#agent/host/cgroups.ts';
import {
  type Dialer,
  type DnsSockets,
  ExecError,
  type ExecOptions,
  type ExecResult,
  type Executor,
  type Host,
  type HostAddress,
  type HostFacts,
  type Mounter,
  type MountPoint,
  type MountRequest,
} from '#agent/host/host.ts';
import { FakeFileSystem } from './fake-file-system.ts';

export interface FakeExecCall {
  readonly argv: readonly string[];
  readonly stdin: string | undefined;
}

type Responder = (argv: readonly string[], stdin: string | undefined) => string | ExecResult | ExecError | undefined;

/** Records every program that is run; what they answer is scripted with `respond` (the newest responder that answers wins). */
export class FakeExecutor implements Executor {
  readonly calls: FakeExecCall[] = [];
  /** Programs that `find` does not find. */
  readonly missing = new Set<string>();
  readonly streams: {
    readonly argv: readonly string[];
    readonly emit: (line: string) => void;
    readonly isEnded: () => boolean;
  }[] = [];
  readonly #responders: Responder[] = [];

  respond(responder: Responder): void {
    this.#responders.unshift(responder);
  }

  async run(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
    const stdin = typeof options.stdin === 'object' ? new TextDecoder().decode(options.stdin) : options.stdin;
    this.calls.push({ argv, stdin });
    options.signal?.throwIfAborted();
    if (this.missing.has(argv[0])) throw new ExecError(argv, null, 'not found');
    for (const responder of this.#responders) {
      const answer = responder(argv, stdin);
      if (answer === undefined) continue;
      if (answer instanceof ExecError) throw answer;
      return typeof answer === 'string' ? { stdout: answer, stderr: '' } : answer;
    }
    return { stdout: '', stderr: '' };
  }

  async find(program: string): Promise<string | undefined> {
    return this.missing.has(program) ? undefined : `/usr/sbin/${program}`;
  }

  stream(
    argv: readonly [string, ...string[]],
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<number | null> {
    this.streams.push({ argv, emit: onLine, isEnded: () => signal.aborted });
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
  }
}

export class FakeMounter implements Mounter {
  readonly points: MountPoint[] = [];
  /** As a kernel from 6.4 on. */
  knowsNoSwap = true;

  async list(): Promise<readonly MountPoint[]> {
    return [...this.points];
  }

  /** What was asked for of each tmpfs, in order. */
  readonly tmpfsRequests: Parameters<Mounter['mountTmpfs']>[] = [];

  async mountTmpfs(...request: Parameters<Mounter['mountTmpfs']>): Promise<void> {
    this.tmpfsRequests.push(request);
    const options = this.knowsNoSwap ? ['rw', 'noswap'] : ['rw'];
    this.points.push({ path: request[0], source: 'tmpfs', fsType: 'tmpfs', options });
  }

  /** What was mounted by `mount`, in order. */
  readonly requests: MountRequest[] = [];

  async mount(request: MountRequest): Promise<void> {
    this.requests.push(request);
    this.points.push({ path: request.path, source: request.source, fsType: request.fsType, options: ['rw'] });
  }

  async bindBeneath(root: string, path: string, target: string): Promise<void> {
    this.points.push({ path: target, source: `${root}/${path}`, fsType: 'bind', options: ['rw'] });
  }

  async bind(source: string, path: string): Promise<void> {
    this.points.push({ path, source, fsType: 'bind', options: ['rw'] });
  }

  async unmount(path: string): Promise<void> {
    const index = this.points.findLastIndex((point) => point.path === path);
    if (index >= 0) this.points.splice(index, 1);
  }
}

const FACTS: HostFacts = {
  hostname: 'node-1',
  machineId: '0123456789abcdef0123456789abcdef',
  systemUuid: '12345678-1234-1234-1234-123456789abc',
  bootId: 'b00710cc-0000-4000-8000-000000000001',
  kernelVersion: '6.18.0',
  osImage: 'Debian GNU/Linux 12 (bookworm)',
  architecture: 'amd64',
  cpuCount: 4,
  memoryBytes: 8 * 2 ** 30,
  swapBytes: 0,
};

/** A host in memory: a file tree, recorded programs, scripted facts. */
export class FakeHost implements Host {
  readonly exec = new FakeExecutor();
  readonly fs: FakeFileSystem;
  readonly memory: FakeFileSystem;
  readonly mounts = new FakeMounter();
  readonly sysctls = new Map<string, string>();
  factsValue: HostFacts = FACTS;
  addressList: HostAddress[] = [
    { interfaceName: 'lo', address: '127.0.0.1', family: 4, prefixLength: 8 },
    { interfaceName: 'eth0', address: '192.168.1.10', family: 4, prefixLength: 24 },
  ];
  /** Where no file of the kernel says it. */
  cgroupVersion: 1 | 2 = 2;
  bootTime = 3_600_000;
  /** How `dialer.tcp` answers; refuses by default. */
  onDial: Dialer['tcp'] = async (host, port) => {
    throw Object.assign(new Error(`connect ECONNREFUSED ${host}:${port}`), { code: 'ECONNREFUSED' });
  };

  /** Nobody can be asked; listening succeeds and hears nothing. */
  readonly openDatagrams: Host['openDatagrams'] = async ({ port }) => ({ port, send() {}, close() {} });
  readonly dns: DnsSockets = {
    listen: async ({ port }) => ({ port, close: async () => {} }),
    exchange: async ({ address }) => {
      throw new Error(`no answer from ${address}`);
    },
  };

  constructor(fs = new FakeFileSystem()) {
    this.fs = fs;
    // The same files, by a door of their own.
    this.memory = new Proxy(fs, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  readonly dialer: Dialer = { tcp: (host, port, options) => this.onDial(host, port, options) };

  async facts(): Promise<HostFacts> {
    return this.factsValue;
  }

  async addresses(): Promise<readonly HostAddress[]> {
    return this.addressList;
  }

  async sourceAddressTo(): Promise<string | undefined> {
    return this.addressList.find((address) => address.interfaceName !== 'lo')?.address;
  }

  async cgroups(): Promise<CgroupFacts> {
    const { version, controllers } = await readCgroups(this.fs);
    if (controllers.length > 0) return { version, root: '/sys/fs/cgroup', controllers };
    return { version: this.cgroupVersion, root: '/sys/fs/cgroup', controllers: ['cpuset', 'cpu', 'memory', 'pids'] };
  }

  async bootTimeMs(): Promise<number> {
    return this.bootTime;
  }

  async resolvConf() {
    return { servers: ['192.168.1.1'], searches: ['lan'], options: [] };
  }

  async readSysctl(name: string): Promise<string | undefined> {
    return this.sysctls.get(name);
  }

  async writeSysctl(name: string, value: string): Promise<boolean> {
    this.sysctls.set(name, value);
    return true;
  }
}
