import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import type { KubeClient } from '#api/client/client.ts';
import type { HttpTransport } from '#api/client/http-transport.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { type KubeconfigAccess, parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { findFreePort } from './free-port.ts';
import { programEnvironment } from './program.ts';

/** Often enough for a number of milliseconds, seldom enough not to be a load. */
const READY_POLL_MS = 5;

/** On a busy machine; a process that ends says so at once. */
const START_TIMEOUT_MS = 120_000;

/** As many lines of a log as an error quotes. */
const LAST_WORDS = 20;

const root = join(import.meta.dirname, '..', '..');

/** Nobody is there: pods could not be told a loopback address, and the load comes over loopback. */
const ADVERTISED = '192.0.2.254';

export interface ControllerProcessOptions {
  /** Absent: any that is free now. It stays the same over restarts. */
  readonly port?: number;
  /** The only core that it may use, so that a load generator has the others for itself; absent: any. */
  readonly core?: number;
  /** Run from the TypeScript sources even where a bundle was built, unless `scripts/test` has built it. */
  readonly fromSource?: boolean;
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where its folder is made; absent: `/tmp`. */
  readonly parent?: string;
}

/** A real controller on loopback, with a folder of its own. */
export interface ControllerProcess {
  readonly folder: string;
  readonly kubeconfig: string;
  readonly access: KubeconfigAccess;
  readonly client: KubeClient;
  readonly pid: number;
  readonly logPath: string;
  /** Milliseconds from the start of the process to its first answered request. */
  readonly readyMs: number;
  /** SIGTERM unless said otherwise. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** After `end`: the same command, folder and port. */
  start(): Promise<void>;
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  stop(): Promise<void>;
}

export async function startControllerProcess(options: ControllerProcessOptions = {}): Promise<ControllerProcess> {
  const folder = await mkdtemp(join(options.parent ?? '/tmp', 'coracle-controller-'));
  const port = options.port ?? (await findFreePort());
  const kubeconfig = join(folder, 'admin.kubeconfig');
  let child: ChildProcess;
  let transport: HttpTransport | undefined;
  let spawnError: Error | undefined;
  let readyMs = 0;
  const self = {} as { access: KubeconfigAccess; client: KubeClient };

  async function start(): Promise<void> {
    const log = openSync(join(folder, 'controller.log'), 'a');
    const startedMs = performance.now();
    const [program = '', ...args] = [
      ...(options.core === undefined ? [] : ['taskset', '-c', String(options.core)]),
      join(root, 'bin/coracle'),
      'controller',
      '--data-dir',
      join(folder, 'data'),
      '--kubeconfig',
      kubeconfig,
      '--bind-address',
      '127.0.0.1',
      '--advertise-address',
      ADVERTISED,
      '--port',
      String(port),
      ...(options.flags ?? ['--audit-log-path', join(folder, 'audit.log')]),
    ];
    const env = { ...process.env, ...(options.fromSource ? programEnvironment : {}), ...options.environment };
    child = spawn(program, args, { stdio: ['ignore', log, log], env });
    spawnError = undefined;
    child.once('error', (err) => {
      spawnError = err;
    });
    closeSync(log);
    const waitFor = async (what: string) => {
      refuseDeath();
      if (performance.now() - startedMs > START_TIMEOUT_MS) throw new Error(`${what}; see ${folder}/controller.log`);
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    };
    while (!existsSync(kubeconfig)) await waitFor('no kubeconfig was written');
    const access = { ...parseKubeconfig(readFileSync(kubeconfig, 'utf8')), server: `https://127.0.0.1:${port}` };
    while (!(await isReady(access))) await waitFor('the API did not come up');
    readyMs = performance.now() - startedMs;
    transport?.close();
    transport = createKubeconfigTransport(access, 'test');
    self.access = access;
    self.client = createKubeClient(transport);
  }

  /** Nothing is worth waiting for once the process is gone; its last words say why. */
  function refuseDeath(): void {
    if (spawnError !== undefined) throw spawnError;
    if (child.exitCode === null && child.signalCode === null) return;
    const log = readFileSync(join(folder, 'controller.log'), 'utf8').trimEnd();
    const last = log.split('\n').slice(-LAST_WORDS).join('\n');
    throw new Error(`the controller ended (${child.signalCode ?? `exit code ${child.exitCode}`}): ${last}`);
  }

  async function end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  try {
    await start();
  } catch (err) {
    // Its log stays, because the error names it.
    await end('SIGKILL');
    throw err;
  }
  return Object.defineProperties(self, {
    folder: { value: folder },
    kubeconfig: { value: kubeconfig },
    pid: { get: () => child.pid },
    readyMs: { get: () => readyMs },
    logPath: { value: join(folder, 'controller.log') },
    end: { value: end },
    start: { value: start },
    restart: {
      value: async (signal?: 'SIGTERM' | 'SIGKILL') => {
        await end(signal);
        await start();
      },
    },
    stop: {
      value: async () => {
        transport?.close();
        await end();
        await rm(folder, { recursive: true, force: true });
      },
    },
  }) as unknown as ControllerProcess;
}

/** One connection, one question. Our own client would back off from a refused connection and so measure its own patience. */
function isReady({ server, ca }: KubeconfigAccess): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(`${server}/readyz`, { ...(ca === undefined ? {} : { ca }), agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
  });
}

/** Resident and proportional memory of a process in MB. */
export function memoryOf(pid: number): {
  readonly rssMb: number;
  readonly pssMb: number;
  readonly anonymousMb: number;
} {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const read = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { rssMb: read('Rss'), pssMb: read('Pss'), anonymousMb: read('Anonymous') };
}
