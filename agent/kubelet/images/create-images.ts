import type { Secret } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import type { PodEvents } from '../pod-events.ts';
import type { ReferencedObjects } from '../referenced-objects.ts';
import { CredentialPlugins } from './credential-plugins.ts';
import { ImageManager } from './image-manager.ts';
import { PullRecords } from './pull-records.ts';
import { nodeCredentials, pullCredentials } from './pull-secrets.ts';

export interface ImageParts {
  readonly events: PodEvents;
  readonly secrets: ReferencedObjects<Secret>;
  /** Sees to room on the disk; returns why there is none. */
  readonly makeRoom: () => Promise<string | undefined>;
}

/** The image manager with what it knows from lives before; credentials come from pull Secrets, the node's own file and plug-ins. */
export async function createImages(
  deps: KubeletDeps,
  { events, secrets, makeRoom }: ImageParts,
): Promise<ImageManager> {
  const { runtime, host, config, clock, log } = deps;
  const { credentialProviders: providers, credentialProviderBinDir: binDir, maxParallelPulls } = config;
  const plugins = new CredentialPlugins({ exec: host.exec, clock, log, binDir, providers });
  // Beside the ledger: what a private image was pulled with must be known for as long as the image is there.
  const directory = `${config.ledgerDir}/../pulls`;
  const records = new PullRecords({ fs: host.fs, runtime, directory, policy: config.imageVerification, clock, log });
  await records.load();
  return new ImageManager({
    ...{ runtime, clock, events, records, maxParallelPulls, makeRoom },
    credentials: async (pod, image) => [
      ...(await pullCredentials({ secrets, events }, pod, image)),
      ...(await nodeCredentials(deps, image)),
      ...(await plugins.credentials(image)),
    ],
  });
}
