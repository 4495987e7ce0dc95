import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import type { ContainerdInstanceOptions } from './host/containerd-instance.ts';
import type { Host } from './host/host.ts';

/** Where our own containerd keeps everything: apart from any other containerd of the host. */
export function ownContainerdOptions(
  config: AgentConfig,
  host: Host,
  clock: Clock,
  log: Logger,
): ContainerdInstanceOptions {
  const { dataDir, runDir } = config;
  return {
    exec: host.exec,
    fs: host.fs,
    clock,
    log: log.child({ component: 'containerd' }),
    rootDirectory: `${dataDir}/containerd`,
    stateDirectory: `${runDir}/containerd`,
    socketPath: ownSocket(config),
    configPath: `${runDir}/containerd.toml`,
    logPath: `${dataDir}/containerd.log`,
    cniConfigDirectory: cniConfigDirectory(config),
    registryConfigDirectory: `${dataDir}/registries`,
  };
}

export const ownSocket = ({ runDir }: AgentConfig): string => `${runDir}/containerd.sock`;

/** Another runtime reads the distribution's directory; ours has one of its own. */
export function cniConfigDirectory({ cniConfDir, criEndpoint, dataDir }: AgentConfig): string {
  if (cniConfDir !== '') return cniConfDir;
  return criEndpoint === '' ? `${dataDir}/cni` : '/etc/cni/net.d';
}
