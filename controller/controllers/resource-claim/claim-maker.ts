import type { ResourceClient } from '#api/client/client.ts';
import { canBeReserved, isReservedForPod, namedResourceClaims, whyNotForPod } from '#api/meta/pod-resource-claims.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { describeError } from '#base/errors.ts';
import type { ControllerContext } from '../controller-context.ts';
import { BY_OWNER, type ClaimCaches, createdKey, nameOf } from './claim-caches.ts';
import { claimFromTemplate, isMadeFor } from './generated-claim.ts';
import { isPodDone } from './plan-release.ts';

type PodClaim = ReturnType<typeof namedResourceClaims>[number];

/** Makes the claims that pods ask for by template, and reserves claims of pods that are bound already. */
export class ClaimMaker {
  readonly #context: ControllerContext;
  readonly #pods: ResourceClient<Pod>;
  readonly #claims: ResourceClient<ResourceClaim>;
  readonly #caches: ClaimCaches;

  constructor(context: ControllerContext, caches: ClaimCaches) {
    this.#context = context;
    this.#pods = context.client.resource<Pod>(resources.pods);
    this.#claims = context.client.resource<ResourceClaim>(resources.resourceClaims);
    this.#caches = caches;
  }

  /** The name to tell in the pod's status; undefined: nothing is to be told. */
  async #ensureClaim(pod: Pod, podClaim: PodClaim): Promise<string | undefined> {
    const { claims, templates, created } = this.#caches;
    const known = nameOf(pod, podClaim);
    const isDecided = pod.status?.resourceClaimStatuses?.some((one) => one.name === podClaim.name) === true;
    if (podClaim.resourceClaimTemplateName === undefined || (isDecided && known === undefined)) return undefined;
    const present = known === undefined ? undefined : claims.byKey(objectKey(pod.metadata.namespace, known));
    if (present !== undefined && whyNotForPod(pod, present) === undefined) return undefined;
    const key = createdKey(pod, podClaim.name);
    const made =
      claims.byIndex(BY_OWNER, pod.metadata.uid).find((claim) => isMadeFor(claim, pod, podClaim.name)) ??
      created.get(key);
    if (made !== undefined) return made.metadata.name === known ? undefined : made.metadata.name;
    const template = templates.byKey(objectKey(pod.metadata.namespace, podClaim.resourceClaimTemplateName));
    if (template === undefined) {
      const name = podClaim.resourceClaimTemplateName;
      throw new Error(
        `resource claim template ${JSON.stringify(name)}: resourceclaimtemplate.resource.k8s.io ${JSON.stringify(name)} not found`,
      );
    }
    const claim = await this.#claims.create(claimFromTemplate(pod, podClaim.name, template));
    created.set(key, claim);
    return claim.metadata.name;
  }

  async sync(key: ObjectKey): Promise<void> {
    const { pods } = this.#caches;
    const pod = pods.byKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isPodDone(pod)) return;
    const told: { readonly name: string; readonly resourceClaimName: string }[] = [];
    for (const podClaim of namedResourceClaims(pod)) {
      try {
        const name = await this.#ensureClaim(pod, podClaim);
        if (name !== undefined) told.push({ name: podClaim.name, resourceClaimName: name });
      } catch (err) {
        const message = `PodResourceClaim ${podClaim.name}: ${describeError(err)}`;
        const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
        this.#context.events.record(subject, 'Warning', 'FailedResourceClaimCreation', message);
        throw err;
      }
    }
    if (told.length > 0) {
      const { name, namespace = '', uid } = pod.metadata;
      const patch = { metadata: { uid }, status: { resourceClaimStatuses: told } };
      await this.#pods.patch({ name, namespace, type: 'strategic', subresource: 'status', patch });
    }
    if ((pod.spec?.nodeName ?? '') !== '') await this.#reserveAll(pod);
  }

  /** For pods that no scheduler has placed: who makes a claim for extended resources reserves it, too. */
  async #reserveAll(pod: Pod): Promise<void> {
    const { claims } = this.#caches;
    for (const podClaim of namedResourceClaims(pod)) {
      const name = nameOf(pod, podClaim);
      const claim = name === undefined ? undefined : claims.byKey(objectKey(pod.metadata.namespace, name));
      if (claim?.status?.allocation === undefined) continue;
      if (podClaim.resourceClaimTemplateName !== undefined && whyNotForPod(pod, claim) !== undefined) continue;
      if (isReservedForPod(pod, claim) || !canBeReserved(claim)) continue;
      const consumer = { resource: 'pods', name: pod.metadata.name, uid: pod.metadata.uid };
      const reservedFor = [...(claim.status.reservedFor ?? []), consumer];
      await this.#claims.update({ ...claim, status: { ...claim.status, reservedFor } }, 'status');
    }
  }
}
