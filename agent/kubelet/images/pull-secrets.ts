import type { Pod, Secret } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import type { PodEvents } from '../pod-events.ts';
import { namespaceOf, specOf, uidOf } from '../pod-spec.ts';
import type { ReferencedObjects } from '../referenced-objects.ts';
import type { PullCredential } from './image-access.ts';
import type { ImageReference } from './image-reference.ts';
import { dockerAuths, matchingAuths, registryCredentials } from './registry-credentials.ts';

export interface PullSecretsDeps {
  readonly secrets: Pick<ReferencedObjects<Secret>, 'read'>;
  readonly events: PodEvents;
}

/** Of the Secrets that a pod names. It goes on without those that cannot be had, as in Kubernetes: the image may be open to all. */
export async function pullCredentials(
  { secrets, events }: PullSecretsDeps,
  pod: Pod,
  image: ImageReference,
): Promise<readonly PullCredential[]> {
  const names = (specOf(pod).imagePullSecrets ?? []).flatMap(({ name }) => name ?? []);
  const read = (name: string) => secrets.read(uidOf(pod), namespaceOf(pod), name).catch(() => undefined);
  const found = await Promise.all(names.map(read));
  const missing = names.filter((_, at) => found[at] === undefined);
  if (missing.length > 0) {
    const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
    events.pod(pod, 'Warning', 'FailedToRetrieveImagePullSecret', message);
  }
  return registryCredentials(
    found.filter((secret) => secret !== undefined),
    image,
  );
}

/** What the node's owner has put beside the kubelet's folders, as `docker login` writes it. */
export async function nodeCredentials(
  { host, config }: KubeletDeps,
  image: ImageReference,
): Promise<readonly PullCredential[]> {
  const text = await host.fs.readText(`${config.rootDir}/config.json`).catch(() => '{}');
  return matchingAuths(dockerAuths(text), image);
}
