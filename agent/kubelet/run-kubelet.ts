import type { Node, Pod } from '#api/object/kinds.ts';
import { watchClockJumps } from '#base/clock-jumps.ts';
import type { KubeletParts } from './assemble-kubelet.ts';
import { PodPaths } from './config/pod-paths.ts';
import { runLogRotation } from './logs/log-rotator.ts';
import { keepCsiNode } from './node/csi-node.ts';
import type { NodeAgent } from './node/node-agent.ts';
import type { NodeHealth } from './node/node-health.ts';
import type { PodManager } from './pod-manager.ts';
import { uidOf } from './pod-spec.ts';
import type { RuntimeCache } from './runtime-cache.ts';
import { watchLogind } from './shutdown/logind.ts';
import type { ShutdownManager } from './shutdown/shutdown-manager.ts';
import { ManifestFolder } from './static/manifest-folder.ts';
import { withinOrGoOn } from './within-or-go-on.ts';

const SERVICES_WAIT_MS = 5_000;

interface RunningParts {
  readonly node: NodeAgent;
  readonly cache: RuntimeCache;
  readonly manager: PodManager;
  readonly health: NodeHealth;
  readonly shutdown: ShutdownManager;
  readonly clockWasSet: () => void;
}

/** Order matters: the Node first (so that it is seen), the runtime's state before any worker, Services before any environment. */
export async function runKubelet(
  { deps, nodes, services, serviceCopy, paths }: KubeletParts,
  { node, cache, manager, health, shutdown, clockWasSet }: RunningParts,
  signal: AbortSignal,
): Promise<void> {
  const containers = () => runningLogs(manager, cache, paths);
  let podCidrs = '';
  const onNode = (current: Node) => {
    node.onNode(current);
    const cidrs = current.spec?.podCIDRs ?? (current.spec?.podCIDR ? [current.spec.podCIDR] : []);
    if (cidrs.length === 0 || cidrs.join() === podCidrs) return;
    podCidrs = cidrs.join();
    deps.onPodCidrs?.(cidrs);
  };
  nodes.addHandler({ onAdd: onNode, onUpdate: (_previous, current) => onNode(current) });
  node.start(signal);
  if (deps.csiDrivers !== undefined) {
    const { client, clock, log, csiDrivers: drivers } = deps;
    const { nodeName } = deps.config;
    void keepCsiNode({ client, nodeName, drivers, node: () => node.describe(), clock, log }, signal);
  }
  nodes.start(signal);
  services.start(signal);
  // Without Services no container can be given its environment; pods that only need to be stopped do not wait for them for ever.
  await Promise.all([cache.prime(signal), withinOrGoOn(deps.clock, services.waitForSync(signal), SERVICES_WAIT_MS)]);
  if (!services.hasSynced) await serviceCopy.remember();
  void serviceCopy.keep(signal);
  cache.start(signal);
  void runLogRotation(
    {
      fs: deps.host.fs,
      runtime: deps.runtime,
      clock: deps.clock,
      log: deps.log,
      containers,
      ...deps.config.containerLogs,
    },
    signal,
  );
  health.start(signal);
  const stopWatchingClock = watchClockJumps(deps.clock, clockWasSet);
  signal.addEventListener('abort', stopWatchingClock, { once: true });
  const graceSeconds = deps.config.shutdown.reduce((sum, tier) => sum + tier.graceSeconds, 0);
  const onShutdown = (isComing: boolean) => shutdown.onShutdown(isComing);
  if (graceSeconds > 0)
    void watchLogind(
      // A little more than the pods have: their last status is to be told, too.
      { host: deps.host, clock: deps.clock, log: deps.log, delaySeconds: graceSeconds + 5, onShutdown },
      signal,
    );
  const { staticPodDir: folder, nodeName } = deps.config;
  if (folder !== '') {
    const { clock, log } = deps;
    const onPods = (pods: readonly Pod[]) => manager.setStatic(pods);
    await new ManifestFolder({ fs: deps.host.fs, folder, nodeName, clock, log, onPods }).start(signal);
  }
  await manager.start(signal);
}

/** Running containers and their log files, for rotation. */
function runningLogs(manager: PodManager, cache: RuntimeCache, paths: PodPaths) {
  return manager.list().flatMap((pod) => {
    const running = cache.observe(uidOf(pod)).containers.filter(({ state }) => state === 'RUNNING');
    const folder = paths.logDirectory(pod);
    return running.map(({ id, name, attempt }) => ({ id, logPath: `${folder}/${PodPaths.logFile(name, attempt)}` }));
  });
}
