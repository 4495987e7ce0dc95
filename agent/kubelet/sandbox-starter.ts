import type { Pod } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, IdMapping, SandboxConfig } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import type { CgroupSettings } from './cgroups/cgroup-names.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import { type ClaimManager, ClaimsNotReady } from './claims/claim-manager.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { computeSandboxConfig } from './config/sandbox-config.ts';
import type { Ledger } from './ledger.ts';
import type { PodEvents } from './pod-events.ts';
import { identityOf, uidOf } from './pod-spec.ts';
import { isCriTaken, type RuntimeCache } from './runtime-cache.ts';
import type { RuntimeClasses } from './runtime-classes.ts';
import type { UserRanges } from './user-ranges.ts';

export interface SandboxStarterDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly claims: Pick<ClaimManager, 'prepare'>;
  readonly runtimeClasses: Pick<RuntimeClasses, 'handlerOf'>;
  readonly userRanges: UserRanges;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly events: PodEvents;
  readonly log: Logger;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cgroups: CgroupSettings;
  readonly podCgroups: PodCgroups;
}

/** Where containers are started. */
export interface Place {
  readonly sandboxId: string;
  readonly attempt: number;
  /** Rejects with SandboxUnknown. */
  readonly podIps: Promise<readonly string[]>;
}

/** A sandbox that has just been made. */
export interface Newborn extends Place {
  readonly config: SandboxConfig;
}

/** The sandbox was made, and the runtime cannot tell its addresses. */
export class SandboxUnknown extends Error {
  override readonly name = 'SandboxUnknown';
  constructor(cause: unknown) {
    super(describeError(cause), { cause });
  }
}

/** Makes the sandbox of a pod: its namespaces, its network and its cgroup. */
export class SandboxStarter {
  readonly #deps: SandboxStarterDeps;
  constructor(deps: SandboxStarterDeps) {
    this.#deps = deps;
  }

  /** `meanwhile` is called once the runtime has its work, which takes it longer than anything that the agent does for a pod. */
  async start(pod: Pod, attempt: number, meanwhile: () => void): Promise<Newborn> {
    const { runtime, cache, ledger, claims, runtimeClasses, userRanges, podCgroups } = this.#deps;
    const record = ledger.record(uidOf(pod));
    if (record !== undefined && attempt > record.sandboxAttempt)
      await ledger.save({ ...record, sandboxAttempt: attempt });
    await claims.prepare(pod);
    const handler = await runtimeClasses.handlerOf(pod);
    const userMappings = await userRanges.allocate(pod, handler);
    const config = await this.#config(pod, attempt, userMappings);
    const running = runtime.runSandbox(config, handler);
    meanwhile();
    const sandboxId = await running;
    // The runtime has just made the pod's cgroup; its limits need not be there before the first container is.
    void podCgroups.apply(pod);
    const podIps = cache.refreshSandbox(identityOf(pod), sandboxId).then(
      ({ ips }) => ips,
      (err: unknown) => Promise.reject(new SandboxUnknown(err)),
    );
    // Whoever needs them awaits them.
    podIps.catch(() => undefined);
    return { sandboxId, attempt, config, podIps };
  }

  /** What the present sandbox was made with. */
  async configOf(pod: Pod, attempt: number): Promise<SandboxConfig> {
    return this.#config(pod, attempt, await this.#deps.userRanges.rangeOf(pod));
  }

  /** Tells why the pod has no sandbox, and clears the way for the next try. */
  async onFailure(pod: Pod, attempt: number, err: unknown): Promise<void> {
    const { cache, events, ledger, log } = this.#deps;
    log.warn('pod sandbox could not be created', { pod: pod.metadata.name, err: describeError(err) });
    events.pod(pod, 'Warning', ...eventOf(err));
    const record = ledger.record(uidOf(pod));
    if (!isCriTaken(err) || record === undefined) return;
    // The name belongs to a try whose end we never saw; the relist will show it if it still lives.
    await ledger.save({ ...record, sandboxAttempt: attempt + 1 });
    await cache.relist();
  }

  async #config(pod: Pod, attempt: number, userMappings: readonly IdMapping[] | undefined): Promise<SandboxConfig> {
    const { host, paths, clusterDns, clusterDomain, cgroups } = this.#deps;
    const hostResolvConf = await host.resolvConf();
    const logDirectory = paths.logDirectory(pod);
    const about = { pod, attempt, logDirectory, hostResolvConf, clusterDns, clusterDomain, cgroups, userMappings };
    return computeSandboxConfig(about);
  }
}

/** Reason and message, as the kubelet words them. */
function eventOf(err: unknown): [string, string] {
  const message = describeError(err);
  if (err instanceof ClaimsNotReady)
    return ['FailedPrepareDynamicResources', `Failed to prepare dynamic resources: ${message}`];
  if (err instanceof SandboxUnknown)
    return ['FailedStatusPodSandBox', `Unable to get pod sandbox status: ${err.message}`];
  return ['FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`];
}
