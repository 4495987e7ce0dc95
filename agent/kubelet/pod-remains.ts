import type { Pod } from '#api/object/kinds.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import type { PodPaths } from './config/pod-paths.ts';
import type { ImageManager } from './images/image-manager.ts';
import type { Ledger } from './ledger.ts';
import type { PodCopies } from './offline/pod-copies.ts';
import { identityOf, uidOf } from './pod-spec.ts';
import type { RuntimeCache } from './runtime-cache.ts';
import type { StatusManager } from './status/status-manager.ts';

export interface PodRemainsDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly images: ImageManager;
  readonly statuses: StatusManager;
  readonly copies: Pick<PodCopies, 'forget'>;
}

/** Takes away what an ended pod left on the node; the ledger comes last, so that whoever is interrupted begins again. */
export async function removePodRemains(deps: PodRemainsDeps, pod: Pod): Promise<void> {
  const { runtime, cache, ledger, host, paths, images, statuses, copies } = deps;
  const uid = uidOf(pod);
  const observed = cache.observe(uid);
  for (const { id, name } of observed.containers) {
    // First: nobody would look for it once the container is gone.
    await host.fs.remove(paths.containerLogLink(pod, name, id));
    await runtime.removeContainer(id);
    cache.forgetContainer(uid, id);
  }
  for (const { id } of observed.sandboxes) {
    await runtime.removeSandbox(id);
    cache.forgetSandbox(uid, id);
  }
  await host.fs.remove(paths.logDirectoryOf(identityOf(pod)));
  await host.fs.remove(paths.pod(uid));
  images.forgetPod(uid);
  await copies.forget(uid);
  statuses.forget(uid);
  await ledger.forget(uid);
}
