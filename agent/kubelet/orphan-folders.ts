import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../host/host.ts';
import { possibleCgroupPaths } from './cgroups/cgroup-names.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { readPodProcesses } from './eviction/usage-reader.ts';
import type { PodManager } from './pod-manager.ts';
import type { PodUid } from './pod-spec.ts';
import type { VolumeManager } from './volumes/volume-manager.ts';

export interface OrphanFoldersDeps {
  readonly host: Pick<Host, 'fs' | 'cgroups'>;
  readonly paths: PodPaths;
  /** The subtree that all pods live in: see `CgroupSettings`. */
  readonly cgroupRoot: string;
  readonly volumes: Pick<VolumeManager, 'tearDown'>;
  readonly pods: Pick<PodManager, 'isKnown'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A driver that is needed may be late. */
const RETRY_MS = 60_000;

/**
 * Takes away folders and mounts of pods of which nothing else is left: their agent was killed before its ledger was on disk, or the ledger
 * was lost. Whose processes still run stays: another kubelet may have been here before. Call once API and runtime have been heard. Ends
 * when nothing is left, or when aborted; never rejects.
 */
export async function removeOrphanFolders(deps: OrphanFoldersDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const told = new Set<string>();
  while (!signal.aborted) {
    const failures = await removeOnce(deps).catch((err: unknown) => new Map([['', err]]));
    for (const [uid, err] of failures) {
      if (!told.has(uid))
        log.warn('an orphaned pod leaves its folder behind', { podUid: uid, err: describeError(err) });
      told.add(uid);
    }
    if (failures.size === 0) return;
    await delay(clock, RETRY_MS, signal).catch(() => undefined);
  }
}

async function removeOnce(deps: OrphanFoldersDeps): Promise<Map<string, unknown>> {
  const { host, paths, volumes, pods, log } = deps;
  const failures = new Map<string, unknown>();
  const unlessUsed = async (uid: string, remove: () => Promise<void>): Promise<void> => {
    if (pods.isKnown(uid as PodUid)) return;
    try {
      await refuseWhileRunning(deps, uid);
      await remove();
    } catch (err) {
      failures.set(uid, err);
    }
  };
  for (const uid of await host.fs.list(paths.podsRoot()))
    await unlessUsed(uid, async () => {
      await volumes.tearDown(uid as PodUid);
      await host.fs.remove(paths.pod(uid));
      log.info('the folder of an orphaned pod is gone', { podUid: uid });
    });
  for (const name of await host.fs.list(paths.podLogsRoot())) {
    const uid = uidOfLogs(name);
    if (uid !== undefined) await unlessUsed(uid, () => host.fs.remove(`${paths.podLogsRoot()}/${name}`));
  }
  for (const name of await host.fs.list(paths.containerLogs)) {
    const link = `${paths.containerLogs}/${name}`;
    const target = (await host.fs.readLink(link)) ?? '';
    if (!target.startsWith(`${paths.podLogsRoot()}/`)) continue;
    const uid = uidOfLogs(target.slice(paths.podLogsRoot().length + 1).split('/')[0] ?? '');
    if (uid !== undefined) await unlessUsed(uid, () => host.fs.remove(link));
  }
  return failures;
}

/** Of a folder `<namespace>_<name>_<uid>`. */
const uidOfLogs = (folder: string): string | undefined => /^[^_]+_[^_]+_([^_]+)$/.exec(folder)?.[1];

/** Throws where processes are left in what is the cgroup of a pod of that UID, whichever runtime they are of. */
async function refuseWhileRunning({ host, cgroupRoot }: OrphanFoldersDeps, uid: string): Promise<void> {
  for (const path of possibleCgroupPaths(uid, cgroupRoot))
    if ((await readPodProcesses(host, path)) > 0) throw new Error(`processes are left in ${path}`);
}
