import type { Pod, Secret } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import { namespaceOf, specOf, uidOf } from '../pod-spec.ts';
import type { ReferencedObjects } from '../referenced-objects.ts';
import type { PullCredential } from './image-access.ts';
import type { ImageReference } from './image-reference.ts';
import { dockerAuths, matchingAuths, registryCredentials } from './registry-credentials.ts';

export async function pullCredentials(
  secrets: ReferencedObjects<Secret>,
  pod: Pod,
  image: ImageReference,
): Promise<readonly PullCredential[]> {
  const names = (specOf(pod).imagePullSecrets ?? []).flatMap(({ name }) => name ?? []);
  const found = await Promise.all(names.map((name) => secrets.read(uidOf(pod), namespaceOf(pod), name)));
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
