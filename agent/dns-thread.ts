import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { LogFields, Logger, LogLevel } from '#base/logger.ts';
import { dnsSockets } from './host/dns-sockets.ts';
import { readAddresses, readResolvConf } from './host/facts.ts';
import { startResolver } from './network/dns/resolver.ts';
import type { FromResolver, ResolverSettings, ToResolver } from './network/dns/resolver-messages.ts';

/** Entry of the resolver's thread (see launch-resolver.ts). It loads no logger: lines go to the main thread, which has one. */

/** Answers take microseconds: they go before what pods compute. */
const NICENESS = -10;

const port = parentPort as MessagePort;
const tell = (message: FromResolver) => port.postMessage(message);

raisePriority();
try {
  const resolver = await startResolver({
    ...(workerData as ResolverSettings),
    host: { dns: dnsSockets, addresses: async () => readAddresses(), resolvConf: readResolvConf },
    clock: systemClock,
    log: logThrough({}),
    random: Math.random,
  });
  port.on('message', (message: ToResolver) => {
    switch (message.kind) {
      case 'names':
        return resolver.onNames(message.changes);
      case 'synced':
        return resolver.onSynced();
      case 'render-metrics':
        return tell({ kind: 'metrics', text: resolver.renderMetrics() });
    }
  });
  tell({ kind: 'listening', port: resolver.port });
} catch (err) {
  tell({ kind: 'failed', message: describeError(err) });
}

/** Of this thread alone: Linux takes the id of a thread where it asks for one of a process. */
function raisePriority(): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), NICENESS);
  } catch {
    // Not allowed here; it answers all the same.
  }
}

function logThrough(common: LogFields): Logger {
  const at = (level: LogLevel) => (message: string, fields?: LogFields) =>
    tell({ kind: 'log', level, message, fields: { ...common, ...fields } });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (more) => logThrough({ ...common, ...more }),
  };
}
