import { systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { createLogger, type LogLevel } from '#base/logger.ts';
import { readCgroupSettings } from './cgroup-settings.ts';
import type { AgentConfig } from './config.ts';
import { createCriRuntime } from './cri/cri-runtime.ts';
import type { ContainerRuntime } from './cri/runtime.ts';
import type { Host } from './host/host.ts';
import { createLinuxHost } from './host/linux-host.ts';
import { removeAllPodCgroups } from './kubelet/cgroups/pod-cgroups.ts';
import { takeBackDelay } from './kubelet/shutdown/logind.ts';
import { createNodeNetwork } from './node-network.ts';
import { ownSocket } from './own-runtime.ts';

/** Takes back what the agent put into the host: containers, mounts, rules, routes, kernel settings. The API is not asked. */
export async function cleanUpAgent(config: AgentConfig): Promise<void> {
  const log = createLogger('agent', config.logLevel as LogLevel);
  const host = createLinuxHost();
  const runtime = createCriRuntime({
    endpoint: config.criEndpoint || `unix://${ownSocket(config)}`,
    clock: systemClock,
    log,
  });
  // Each step on its own: what one leaves must not keep the others from going.
  const attempt = (what: string, step: () => Promise<void>): Promise<void> =>
    step().catch((err: unknown) => log.warn('clean-up was not complete', { what, err: describeError(err) }));
  const cgroups = await readCgroupSettings({ config, host, runtime, log });
  await attempt('containers', () => endSandboxes(config, host, runtime));
  runtime.close();
  await attempt('shutdown delay', () => takeBackDelay(host));
  await attempt('volumes', () => removeVolumes(config, host));
  await attempt('cgroups', () => removeAllPodCgroups(host, cgroups));
  await attempt('network', async () => {
    const network = await createNodeNetwork({ config, nodeName: config.nodeName, host, clock: systemClock, log });
    await network.cleanUp();
  });
  await attempt('logs', () => removeLogs(config, host));
}

async function endSandboxes(config: AgentConfig, host: Host, runtime: ContainerRuntime): Promise<void> {
  if (config.criEndpoint === '' && (await host.fs.info(ownSocket(config))) === undefined) return;
  for (const { id, labels } of await runtime.listSandboxes()) {
    // A foreign runtime may hold sandboxes that are not ours.
    if (labels['io.kubernetes.pod.uid'] === undefined) continue;
    await runtime.stopSandbox(id);
    await runtime.removeSandbox(id);
  }
}

/** Folders go only when every mount below them is gone: what is mounted there may be somebody's data. */
async function removeVolumes({ kubeletDir, runDir }: AgentConfig, host: Host): Promise<void> {
  const folders = [`${kubeletDir}/pods`, `${runDir}/pods`];
  for (const { path } of (await host.mounts.list()).toReversed())
    if (folders.some((folder) => path.startsWith(`${folder}/`))) await host.mounts.unmount(path);
  for (const folder of folders) await host.fs.remove(folder);
}

async function removeLogs({ podLogsDir, containerLogsDir }: AgentConfig, host: Host): Promise<void> {
  for (const name of await host.fs.list(containerLogsDir)) {
    const target = await host.fs.readLink(`${containerLogsDir}/${name}`);
    if (target?.startsWith(`${podLogsDir}/`)) await host.fs.remove(`${containerLogsDir}/${name}`);
  }
  // `<namespace>_<name>_<uid>`: only what has the shape of a pod's folder.
  for (const name of await host.fs.list(podLogsDir)) {
    if (/^[^_]+_[^_]+_[0-9a-f-]{32,36}$/.test(name)) await host.fs.remove(`${podLogsDir}/${name}`);
  }
}
