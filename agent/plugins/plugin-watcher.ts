import { readDescriptor } from '#api/codec/described-messages.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import descriptor from '../../protos/plugin-registration-v1.json' with { type: 'json' };
import type { FileSystem } from '../host/host.ts';
import { connectPlugin } from './plugin-client.ts';

export interface RegisteringPlugin {
  readonly name: string;
  /** Absolute path of the socket that it serves on. */
  readonly endpoint: string;
  readonly versions: readonly string[];
}

/** What takes in plug-ins of one type. */
export interface PluginKind {
  /** Throws with the reason why the plug-in is refused; the plug-in is told. */
  register(plugin: RegisteringPlugin): Promise<void>;
  unregister(name: string): void;
}

export interface PluginWatcherOptions {
  /** `/var/lib/kubelet/plugins_registry` */
  readonly folder: string;
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Logger;
  /** By the type that a plug-in says it is: `CSIPlugin`, `DevicePlugin`. */
  readonly kinds: Readonly<Record<string, PluginKind>>;
}

interface PluginInfo {
  readonly type: string;
  readonly name: string;
  readonly endpoint: string;
  readonly supported_versions: readonly string[];
}

interface KnownSocket {
  /** A socket that was made anew is another one, whatever its name. */
  readonly stamp: string;
  /** Undefined until it is registered. */
  plugin: { readonly type: string; readonly name: string } | undefined;
  failures: number;
  retryAtMs: number;
}

const CALL_MS = 10_000;
/** Besides what the kernel tells of the folder. */
const SCAN_MS = 10_000;
const BACKOFF = { initialMs: 500, maxMs: 10_000 } as const;
const MAX_DEPTH = 3;

const registration = readDescriptor(descriptor).service('pluginregistration.Registration');

/**
 * The kubelet's plug-in watcher: a socket that appears in the folder belongs to a plug-in that wants to be known, one that disappears to
 * one that has gone. Runs until aborted.
 */
export async function runPluginWatcher(options: PluginWatcherOptions, signal: AbortSignal): Promise<void> {
  const { folder, fs, clock, log } = options;
  const known = new Map<string, KnownSocket>();
  let wake = new AbortController();
  await fs.makeDirectory(folder, 0o750);
  fs.watch(folder, () => wake.abort(), signal);
  while (!signal.aborted) {
    wake = new AbortController();
    try {
      await look(options, known);
    } catch (err) {
      log.warn('plug-ins could not be looked for', { folder, err: describeError(err) });
    }
    const due = [...known.values()].filter(({ plugin }) => plugin === undefined).map(({ retryAtMs }) => retryAtMs);
    const pauseMs = Math.max(100, Math.min(SCAN_MS, ...due.map((atMs) => atMs - clock.monotonic())));
    await delay(clock, pauseMs, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
  }
}

async function look(options: PluginWatcherOptions, known: Map<string, KnownSocket>): Promise<void> {
  const { folder, fs, clock, kinds, log } = options;
  const sockets = await socketsBelow(fs, folder, MAX_DEPTH);
  for (const [path, { stamp, plugin }] of known) {
    if (sockets.get(path) === stamp) continue;
    known.delete(path);
    if (plugin === undefined) continue;
    const isElsewhere = [...known.values()].some(
      (other) => other.plugin?.type === plugin.type && other.plugin.name === plugin.name,
    );
    if (isElsewhere) continue;
    log.info('a plug-in has gone', plugin);
    kinds[plugin.type]?.unregister(plugin.name);
  }
  for (const [path, stamp] of sockets) {
    const socket = known.get(path) ?? { stamp, plugin: undefined, failures: 0, retryAtMs: 0 };
    known.set(path, socket);
    if (socket.plugin !== undefined || socket.retryAtMs > clock.monotonic()) continue;
    try {
      socket.plugin = await introduce(options, path);
      log.info('a plug-in has registered', socket.plugin);
    } catch (err) {
      socket.failures++;
      socket.retryAtMs = clock.monotonic() + backoffDelayMs(socket.failures, BACKOFF);
      log.warn('a plug-in is not registered', { socket: path, err: describeError(err) });
    }
  }
}

/** Asks who it is, takes it in, and says how that went. */
async function introduce({ kinds }: PluginWatcherOptions, socket: string): Promise<{ type: string; name: string }> {
  const connection = connectPlugin(socket, registration, CALL_MS);
  try {
    const { type, name, endpoint, supported_versions } = await connection.call<PluginInfo>('GetInfo', {});
    const kind = kinds[type];
    const answer = (error: string) =>
      connection.call('NotifyRegistrationStatus', { plugin_registered: error === '', error });
    try {
      if (kind === undefined) throw new Error(`no handler registered for plugin type: ${type} at socket ${socket}`);
      await kind.register({ name, endpoint: endpoint || socket, versions: supported_versions });
    } catch (err) {
      await answer(`plugin registration failed with err: ${describeError(err)}`);
      throw err;
    }
    await answer('');
    return { type, name };
  } finally {
    connection.close();
  }
}

/** Absolute path -> what tells one socket from the next of the same name. Names that begin with a dot are not looked at. */
async function socketsBelow(fs: FileSystem, folder: string, depth: number): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await fs.list(folder)) {
    if (name.startsWith('.')) continue;
    const path = `${folder}/${name}`;
    const info = await fs.info(path);
    if (info?.type === 'socket') found.set(path, `${info.inode} ${info.modifiedMs}`);
    if (info?.type !== 'directory' || depth <= 1) continue;
    for (const [inner, stamp] of await socketsBelow(fs, path, depth - 1)) found.set(inner, stamp);
  }
  return found;
}
