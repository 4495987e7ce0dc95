import type { KubeClient } from '#api/client/client.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';

const SELF_SUBJECT_REVIEWS: ResourceInfo = {
  group: 'authentication.k8s.io',
  version: 'v1',
  resource: 'selfsubjectreviews',
  kind: 'SelfSubjectReview',
  namespaced: false,
};

/** What time the API server believes it is, in ms since the epoch: this host's clock may stand in 1970. Undefined where it tells none. */
export async function fetchServerTimeMs(client: KubeClient): Promise<number | undefined> {
  const { metadata } = await client.resource<Stored<KubeObject>>(SELF_SUBJECT_REVIEWS).create({ metadata: {} });
  const serverMs = Date.parse(metadata.creationTimestamp ?? '');
  return Number.isNaN(serverMs) ? undefined : serverMs;
}
