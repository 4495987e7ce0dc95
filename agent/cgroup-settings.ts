import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import type { ContainerRuntime } from './cri/runtime.ts';
import type { Host } from './host/host.ts';
import type { CgroupSettings } from './kubelet/cgroups/cgroup-names.ts';

export interface CgroupSettingsOptions {
  readonly config: Pick<AgentConfig, 'criEndpoint' | 'cgroupDriver'>;
  readonly host: Pick<Host, 'fs' | 'cgroups'>;
  readonly runtime: Pick<ContainerRuntime, 'cgroupDriver'>;
  readonly log: Logger;
  /** Waits before a runtime that does not answer is asked again, however long that takes; absent: then the configuration decides. */
  readonly pause?: () => Promise<void>;
}

/**
 * Which driver the runtime uses: our own containerd is configured for systemd's slices where systemd manages the unified hierarchy; another
 * runtime is asked, as Kubernetes does, and where it does not tell the configuration decides.
 */
export async function readCgroupSettings(options: CgroupSettingsOptions): Promise<CgroupSettings> {
  const { config, host } = options;
  const isSystemd = (await host.fs.info('/run/systemd/system')) !== undefined && (await host.cgroups()).version === 2;
  const guess = isSystemd ? 'systemd' : 'cgroupfs';
  if (config.criEndpoint === '') return { driver: guess, root: '/' };
  const { cgroupDriver } = config;
  const configured = cgroupDriver === 'systemd' || cgroupDriver === 'cgroupfs' ? cgroupDriver : guess;
  return { driver: (await ask(options)) ?? configured, root: '/' };
}

async function ask({ runtime, log, pause }: CgroupSettingsOptions): Promise<CgroupSettings['driver'] | undefined> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await runtime.cgroupDriver();
    } catch (err) {
      if (isFirst) log.warn('the runtime did not tell its cgroup driver', { err: describeError(err) });
      if (pause === undefined) return undefined;
      await pause();
    }
  }
}
