import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import type { Logger } from '#base/logger.ts';
import { renderSamples } from '#base/metric.ts';
import type { ControllerConfig } from '../config.ts';
import type { Store } from '../store/store.ts';
import { backupContent } from './backup-content.ts';
import { type BackupSchedule, startBackupSchedule } from './backup-schedule.ts';
import { serveControlSocket } from './control-socket.ts';
import { readPassphraseFile } from './passphrase.ts';

export interface BackupsOptions {
  readonly config: ControllerConfig;
  readonly store: Pick<Store, 'snapshot'>;
  readonly rotateSealingKey: () => Promise<void> | void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Backups {
  /** For the health checks; undefined: nothing is wrong. */
  problem(): string | undefined;
  /** Text for `/metrics`. */
  metrics(): string;
  close(): Promise<void>;
}

/** Serves `coracle backup`, and takes backups by itself where the configuration says so. Throws ConfigError. */
export async function startBackups({ config, store, rotateSealingKey, clock, log }: BackupsOptions): Promise<Backups> {
  const content = () => backupContent({ store, config, backend: config.store, nowMs: clock.now() });
  const backupLog = log.child({ component: 'backup' });
  const schedule = await scheduled(config, { content, clock, log: backupLog });
  const socket = await serveControlSocket(config.dataDir, {
    actions: { backup: content, rotateSealingKey },
    log: backupLog,
  });
  return {
    problem: () => schedule?.problem(),
    metrics: () => renderNewest(schedule?.newestMs),
    async close() {
      await schedule?.stop();
      await socket.close();
    },
  };
}

function renderNewest(newestMs: number | undefined): string {
  const name = 'coracle_backup_newest_timestamp_seconds';
  const help = 'When the newest scheduled backup was taken, in seconds since 1970.';
  return newestMs === undefined ? '' : renderSamples('gauge', { name, help }, [[[], newestMs / 1000]]);
}

async function scheduled(
  { backupDir, backupIntervalMinutes, backupRetain, backupPassphraseFile }: ControllerConfig,
  parts: { readonly content: () => AsyncIterable<Uint8Array>; readonly clock: Clock; readonly log: Logger },
): Promise<BackupSchedule | undefined> {
  if (backupDir === '') return undefined;
  if (backupPassphraseFile === '') {
    throw new ConfigError(
      'backupDir needs backupPassphraseFile: a file with the passphrase, of which you keep a copy elsewhere, as it opens the backups',
    );
  }
  // What is wrong with it is told now, not in the night.
  await readPassphraseFile(backupPassphraseFile);
  return startBackupSchedule({
    ...parts,
    dir: backupDir,
    intervalMs: backupIntervalMinutes * 60_000,
    retain: backupRetain,
    passphrase: () => readPassphraseFile(backupPassphraseFile),
  });
}
