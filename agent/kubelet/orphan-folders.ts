import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../host/host.ts';
import type { PodPaths } from './config/pod-paths.ts';
import type { PodManager } from './pod-manager.ts';
import type { PodUid } from './pod-spec.ts';
import type { VolumeManager } from './volumes/volume-manager.ts';

export interface OrphanFoldersDeps {
  readonly host: Pick<Host, 'fs'>;
  readonly paths: PodPaths;
  readonly volumes: Pick<VolumeManager, 'tearDown'>;
  readonly pods: Pick<PodManager, 'isKnown'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A driver that is needed may be late. */
const RETRY_MS = 60_000;

/**
 * Takes away folders and mounts of pods of which nothing else is left: their agent was killed before its ledger was on disk, or the ledger
 * was lost. Call once API and runtime have been heard. Ends when nothing is left, or when aborted.
 */
export async function removeOrphanFolders(deps: OrphanFoldersDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const told = new Set<string>();
  while (!signal.aborted) {
    const failures = await removeOnce(deps);
    for (const [uid, err] of failures) {
      if (!told.has(uid))
        log.warn('an orphaned pod leaves its folder behind', { podUid: uid, err: describeError(err) });
      told.add(uid);
    }
    if (failures.size === 0) return;
    await delay(clock, RETRY_MS, signal).catch(() => undefined);
  }
}

async function removeOnce({ host, paths, volumes, pods, log }: OrphanFoldersDeps): Promise<Map<string, unknown>> {
  const failures = new Map<string, unknown>();
  const orphans = (await host.fs.list(paths.podsRoot())).filter((uid) => !pods.isKnown(uid as PodUid));
  for (const uid of orphans) {
    try {
      await volumes.tearDown(uid as PodUid);
      await host.fs.remove(paths.pod(uid));
      log.info('the folder of an orphaned pod is gone', { podUid: uid });
    } catch (err) {
      failures.set(uid, err);
    }
  }
  for (const name of await host.fs.list(paths.podLogsRoot())) {
    // `<namespace>_<name>_<uid>`
    const uid = /^[^_]+_[^_]+_([^_]+)$/.exec(name)?.[1];
    if (uid !== undefined && !pods.isKnown(uid as PodUid)) await host.fs.remove(`${paths.podLogsRoot()}/${name}`);
  }
  return failures;
}
