import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { ControllerConfig } from '../config.ts';
import { etcdAccess } from '../open-etcd.ts';
import { readSealingPlan, sealingKeysPath } from '../sealing-config.ts';
import { EtcdSink } from './etcd-sink.ts';
import { SqliteSink } from './sqlite-sink.ts';
import type { StateSink } from './state-sink.ts';

/** In the folder lie the keys; that of a SQLite store is made there. */
export type OpenSink = (folder: string, raisedTo: number) => Promise<StateSink>;

/** What brings a state into the store that the configuration names. */
export async function openSinkOf(
  config: ControllerConfig,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<OpenSink> {
  const sealing = await readSealingPlan(config);
  if (config.store !== 'etcd')
    return async (folder, raisedTo) => new SqliteSink({ folder, sealing, raisedTo, nowMs: clock.now() });
  return (folder, raisedTo) =>
    EtcdSink.open({
      access: etcdAccess(config),
      folder,
      sealing: { ...sealing, ringPath: sealingKeysPath(folder) },
      raisedTo,
      clock,
      log,
    });
}
