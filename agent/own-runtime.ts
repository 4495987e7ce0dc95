import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { AgentConfig } from './config.ts';
import type { ContainerdInstanceOptions } from './host/containerd-instance.ts';
import type { Host } from './host/host.ts';

/** Where our own containerd keeps everything: apart from any other containerd of the host. */
export async function ownContainerdOptions(
  config: AgentConfig,
  host: Host,
  clock: Clock,
  log: Logger,
): Promise<ContainerdInstanceOptions> {
  const { dataDir, runDir } = config;
  const cniBinDirectory = await findCniBinDirectory(config, host);
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
    ...(cniBinDirectory === undefined ? {} : { cniBinDirectory }),
  };
}

export const ownSocket = ({ runDir }: AgentConfig): string => `${runDir}/containerd.sock`;

/** Another runtime reads the distribution's directory, and so does ours where another network add-on writes there; else it has one of its own. */
export function cniConfigDirectory({ cniConfDir, criEndpoint, dataDir, networkMode }: AgentConfig): string {
  if (cniConfDir !== '') return cniConfDir;
  return criEndpoint === '' && networkMode === 'routes' ? `${dataDir}/cni` : '/etc/cni/net.d';
}

/**
 * The first of the configured directories that holds the plug-in we need; undefined leaves the choice to the instance. Other network add-ons
 * bring their plug-ins into the first one, perhaps after us.
 */
async function findCniBinDirectory({ cniBinDirs, networkMode }: AgentConfig, host: Host): Promise<string | undefined> {
  if (networkMode === 'cni') return cniBinDirs[0];
  for (const path of cniBinDirs) if ((await host.fs.info(`${path}/bridge`)) !== undefined) return path;
  return undefined;
}
