import type { KubeClient, PartialObject } from '#api/client/client.ts';
import { type DiscoveredResource, fetchDiscovery } from '#api/client/discovery-client.ts';
import { ApiError, isNotFound } from '#api/object/api-error.ts';
import { describeError } from '#base/errors.ts';

/** What is left of a namespace after one attempt to empty it. */
export interface RemainingContent {
  /** By `resource.group`. */
  readonly counts: ReadonlyMap<string, number>;
  readonly finalizers: ReadonlyMap<string, number>;
  /** Resources that could not be listed or deleted. */
  readonly failures: readonly string[];
  /** Why the server's resources could not be listed completely, or undefined. */
  readonly discoveryFailure: string | undefined;
}

const LIST_LIMIT = 500;
const isPods = ({ group, resource }: DiscoveredResource): boolean => group === '' && resource === 'pods';
const nameOf = ({ resource, group }: DiscoveredResource) => (group === '' ? `${resource}.` : `${resource}.${group}`);

/**
 * Deletes all that the namespace holds, kind by kind, and reports what is still there. Pods keep their grace and go first: as long as one
 * runs, what it stands on and what guards it (NetworkPolicies, Secrets) stays.
 */
export async function deleteContent(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<RemainingContent> {
  const counts = new Map<string, number>();
  const finalizers = new Map<string, number>();
  const failures: string[] = [];
  const { resources, stale } = await fetchDiscovery(client, signal);
  const deletable = resources.filter(({ namespaced, verbs }) => namespaced && verbs.includes('delete'));
  const podsFirst = [...deletable.filter(isPods), ...deletable.filter((resource) => !isPods(resource))];
  for (const resource of podsFirst) {
    try {
      const left = await deleteAll(client, resource, namespace, signal);
      if (left.length > 0) counts.set(nameOf(resource), left.length);
      for (const name of left.flatMap((object) => object.metadata.finalizers ?? []))
        finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
      if (left.length > 0 && isPods(resource)) break;
    } catch (err) {
      if (signal.aborted) throw err;
      failures.push(`${nameOf(resource)}: ${describeError(err)}`);
      if (isPods(resource)) break;
    }
  }
  const discoveryFailure =
    stale.length === 0 ? undefined : `Discovery failed for some groups, ${stale.length} failing: ${stale.join(', ')}`;
  return { counts, finalizers, failures, discoveryFailure };
}

/** Looks before it deletes: most kinds have nothing in most namespaces. Answers what is left, at most a page of it. */
async function deleteAll(
  client: KubeClient,
  resource: DiscoveredResource,
  namespace: string,
  signal: AbortSignal,
): Promise<readonly PartialObject[]> {
  const objects = client.metadata(resource);
  const list = async () => (await objects.fetchList({ namespace, limit: LIST_LIMIT, signal })).items;
  const present = await list();
  if (present.length === 0) return [];
  if (resource.verbs.includes('deletecollection')) {
    try {
      await objects.deleteCollection({ namespace, propagationPolicy: 'Background', signal });
      return await list();
    } catch (err) {
      if (!(err instanceof ApiError) || err.code !== 405) throw err;
    }
  }
  for (const { metadata } of present) {
    try {
      await objects.delete({ namespace, name: metadata.name, propagationPolicy: 'Background', signal });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
  return list();
}
