import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isAlreadyExists, isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import {
  type CSIDriver,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  resources,
  type VolumeAttachment,
} from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { claimsOf } from '#api/storage/claims.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';
import { isPodTerminal } from '../pod-state.ts';
import { attachmentName, computeAttached, holdsAttached, isMadeByUs, uniqueName } from './attached-volumes.ts';
import { MAX_WAIT_MS, mustWait, type NodeState, planAttachments } from './plan-attachments.ts';

const BY_CLAIM = 'placedByClaim';
const BY_VOLUME = 'volume';
const BY_NODE = 'node';
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';
type Key = `volume/${string}` | `node/${string}`;

const volumeKey = (name: string): Key => `volume/${name}`;
const volumeOf = ({ spec }: VolumeAttachment) => spec?.source?.persistentVolumeName ?? '';

/**
 * Sees to it that volumes of CSI drivers are attached to the nodes of their pods, and to no others: a VolumeAttachment asks the driver's own
 * attacher. Volumes are looked at one by one, whatever has changed.
 */
class AttachDetachController {
  readonly #context: ControllerContext;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #drivers: Informer<CSIDriver>;
  readonly #attachments: Informer<VolumeAttachment>;
  readonly #queue: WorkQueue<Key>;
  /** By name of the attachment: since when nobody needs it (monotonic ms). */
  readonly #idleSince = new Map<string, number>();
  /** What pods were told already, by pod and volume. */
  readonly #refused = new Map<string, string>();

  constructor(context: ControllerContext) {
    const { informers } = context;
    this.#context = context;
    this.#pods = informers.informer<Pod>(resources.pods);
    this.#nodes = informers.informer<Node>(resources.nodes);
    this.#claims = informers.informer<PersistentVolumeClaim>(resources.persistentVolumeClaims);
    this.#volumes = informers.informer<PersistentVolume>(resources.persistentVolumes);
    this.#drivers = informers.informer<CSIDriver>(resources.csiDrivers);
    this.#attachments = informers.informer<VolumeAttachment>(resources.volumeAttachments);
    this.#pods.addIndex(BY_CLAIM, (pod) =>
      pod.spec?.nodeName && !isPodTerminal(pod) ? claimsOf(pod).map(({ key }) => key) : [],
    );
    this.#attachments.addIndex(BY_VOLUME, (attachment) => [volumeOf(attachment)]);
    this.#attachments.addIndex(BY_NODE, ({ spec }) => [spec?.nodeName ?? '']);
    this.#queue = createControllerQueue<Key>(context, {
      name: 'attach-detach',
      sync: (key) => (key.startsWith('node/') ? this.#syncNode(key.slice(5)) : this.#syncVolume(key.slice(7))),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    const onClaimKey = (key: ObjectKey) => {
      const name = this.#claims.byKey(key)?.spec?.volumeName;
      if (name) this.#queue.add(volumeKey(name));
    };
    const onPod = (pod: Pod) => {
      if (pod.spec?.nodeName) for (const { key } of claimsOf(pod)) onClaimKey(key);
    };
    const onPodGone = (pod: Pod) => {
      for (const key of this.#refused.keys()) if (key.startsWith(`${pod.metadata.uid}/`)) this.#refused.delete(key);
      onPod(pod);
    };
    followObjects(this.#pods, onPod, onPodGone);
    const onClaim = ({ spec }: PersistentVolumeClaim) => {
      if (spec?.volumeName) this.#queue.add(volumeKey(spec.volumeName));
    };
    followObjects(this.#claims, onClaim);
    const onVolume = ({ metadata, spec }: PersistentVolume) => {
      if (spec?.csi !== undefined) this.#queue.add(volumeKey(metadata.name));
    };
    followObjects(this.#volumes, onVolume, onVolume);
    this.#drivers.addHandler({ onAdd: () => this.#volumes.list().forEach(onVolume) });
    const onAttachment = (attachment: VolumeAttachment) => {
      this.#queue.add(volumeKey(volumeOf(attachment)));
      this.#queue.add(`node/${attachment.spec?.nodeName ?? ''}`);
    };
    this.#attachments.addHandler({
      onAdd: onAttachment,
      onUpdate: (before, attachment) => {
        onAttachment(attachment);
        this.#tellOutcome(before, attachment);
      },
      onDelete: (attachment) => {
        // Not before: while a finalizer keeps it, each look at its volume notes it again.
        this.#idleSince.delete(attachment.metadata.name);
        onAttachment(attachment);
      },
    });
    const onNode = ({ metadata }: Node) => {
      for (const attachment of this.#attachments.byIndex(BY_NODE, metadata.name)) onAttachment(attachment);
    };
    this.#nodes.addHandler({ onUpdate: (_, node) => onNode(node), onDelete: onNode });
    const caches = [this.#pods, this.#nodes, this.#claims, this.#volumes, this.#drivers, this.#attachments];
    return runQueue(this.#queue, caches, signal);
  }

  async #syncVolume(name: string): Promise<void> {
    const volume = this.#volumes.byKey(objectKey(undefined, name));
    if (volume === undefined) return this.#detachLeftovers(name);
    if (volume.spec?.csi === undefined) return;
    const attachments = this.#attachments
      .byIndex(BY_VOLUME, name)
      .filter(({ metadata, spec }) => metadata.name === attachmentName(volume, spec?.nodeName ?? ''));
    const pods = this.#mustBeAttached(volume) ? this.#podsOf(volume) : [];
    this.#noteIdle(attachments, pods);
    const plan = planAttachments({
      volume,
      pods,
      attachments,
      node: (nodeName) => {
        const node = this.#nodes.byKey(objectKey(undefined, nodeName));
        return stateOf(node, node?.status?.volumesInUse?.includes(uniqueName(volume)) === true);
      },
      waitedMs: (attachment) => this.#waitedMs(attachment),
    });
    for (const { pod, message } of plan.refused) this.#refuse(pod, volume, message);
    for (const nodeName of plan.attach) await this.#attach(volume, nodeName);
    for (const attachment of plan.detach) await this.#detach(attachment);
    if (plan.held.length > 0) this.#queue.addAfter(volumeKey(name), MAX_WAIT_MS);
  }

  /** Attachments of a volume whose object is gone: nobody can need them any more. */
  async #detachLeftovers(volumeName: string): Promise<void> {
    // Volumes without an object, which are written into their attachment, are not ours.
    if (volumeName === '') return;
    const leftovers = this.#attachments
      .byIndex(BY_VOLUME, volumeName)
      .filter((one) => isMadeByUs(one) && one.metadata.deletionTimestamp === undefined);
    if (leftovers.length === 0 || (await this.#isThere(volumeName))) return;
    this.#noteIdle(leftovers, []);
    for (const attachment of leftovers) {
      const node = this.#nodes.byKey(objectKey(undefined, attachment.spec?.nodeName ?? ''));
      const mustStay = mustWait(stateOf(node, holdsAttached(node, attachment)), this.#waitedMs(attachment));
      if (mustStay) this.#queue.addAfter(volumeKey(volumeName), MAX_WAIT_MS);
      else await this.#detach(attachment);
    }
  }

  /** Asks the server itself: a cache that is late must not take a volume from a pod. */
  async #isThere(volumeName: string): Promise<boolean> {
    const volumes = this.#context.client.resource<PersistentVolume>(resources.persistentVolumes);
    // A list, since the controller's role does not let it get one.
    const { items } = await volumes.fetchList({ fieldSelector: `metadata.name=${volumeName}` });
    return items.length > 0;
  }

  #waitedMs({ metadata }: VolumeAttachment): number {
    return this.#context.clock.monotonic() - (this.#idleSince.get(metadata.name) ?? 0);
  }

  #mustBeAttached({ spec }: PersistentVolume): boolean {
    const driver = this.#drivers.byKey(objectKey(undefined, spec?.csi?.driver ?? ''));
    return driver?.spec?.attachRequired !== false;
  }

  /** Pods on nodes that need the volume, through the claim that has it. */
  #podsOf({ metadata, spec }: PersistentVolume): readonly Pod[] {
    const key = objectKey(spec?.claimRef?.namespace, spec?.claimRef?.name ?? '');
    const claim = this.#claims.byKey(key);
    const isBound = claim?.metadata.uid === spec?.claimRef?.uid && claim?.spec?.volumeName === metadata.name;
    return isBound ? this.#pods.byIndex(BY_CLAIM, key) : [];
  }

  #noteIdle(attachments: readonly VolumeAttachment[], pods: readonly Pod[]): void {
    for (const { metadata, spec } of attachments) {
      const isWanted = pods.some((pod) => pod.spec?.nodeName === spec?.nodeName);
      if (isWanted) this.#idleSince.delete(metadata.name);
      else if (!this.#idleSince.has(metadata.name)) this.#idleSince.set(metadata.name, this.#context.clock.monotonic());
    }
  }

  async #attach(volume: PersistentVolume, nodeName: string): Promise<void> {
    const { name } = volume.metadata;
    try {
      await this.#context.client.resource<VolumeAttachment>(resources.volumeAttachments).create({
        metadata: { name: attachmentName(volume, nodeName) },
        spec: { attacher: volume.spec?.csi?.driver ?? '', nodeName, source: { persistentVolumeName: name } },
      });
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
    }
  }

  /** The node is told first, so that it begins nothing with the volume. */
  async #detach({ metadata: { name, uid }, spec }: VolumeAttachment): Promise<void> {
    await this.#syncNode(spec?.nodeName ?? '', name);
    try {
      const client = this.#context.client.resource<VolumeAttachment>(resources.volumeAttachments);
      await client.delete({ name, preconditions: { uid } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  /** Writes what is attached to the node, but for the attachment that is about to go. */
  async #syncNode(name: string, without?: string): Promise<void> {
    const node = this.#nodes.byKey(objectKey(undefined, name));
    if (node === undefined) return;
    const there = this.#attachments.byIndex(BY_NODE, name).filter(({ metadata }) => metadata.name !== without);
    const volumesAttached = computeAttached(there, (one) => this.#volumes.byKey(objectKey(undefined, volumeOf(one))));
    if (deepEqual(volumesAttached, node.status?.volumesAttached ?? [])) return;
    try {
      const patch = { status: { volumesAttached } };
      await this.#context.client
        .resource<Node>(resources.nodes)
        .patch({ name, subresource: 'status', type: 'merge', patch });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  #refuse(pod: Pod, { metadata }: PersistentVolume, message: string): void {
    const key = `${pod.metadata.uid}/${metadata.name}`;
    if (this.#refused.get(key) === message) return;
    this.#refused.set(key, message);
    this.#context.events.record(pod, 'Warning', 'FailedAttachVolume', message);
  }

  #tellOutcome(before: VolumeAttachment, attachment: VolumeAttachment): void {
    const name = volumeOf(attachment);
    const volume = this.#volumes.byKey(objectKey(undefined, name));
    if (volume === undefined) return;
    const pods = this.#podsOf(volume).filter(({ spec }) => spec?.nodeName === attachment.spec?.nodeName);
    const { attached, attachError } = attachment.status ?? {};
    const hasCome = attached === true && before.status?.attached !== true;
    const failure = attachError?.message;
    const hasFailed = failure !== undefined && attachError?.time !== before.status?.attachError?.time;
    for (const pod of pods) {
      if (hasCome) {
        this.#refused.delete(`${pod.metadata.uid}/${name}`);
        const message = `AttachVolume.Attach succeeded for volume "${name}"`;
        this.#context.events.record(pod, 'Normal', 'SuccessfulAttachVolume', message);
      } else if (hasFailed) {
        const message = `AttachVolume.Attach failed for volume "${name}" : ${failure}`;
        this.#context.events.record(pod, 'Warning', 'FailedAttachVolume', message);
      }
    }
  }
}

function stateOf(node: Node | undefined, holdsVolume: boolean): NodeState {
  return {
    isGone: node === undefined,
    isOff: (node?.spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE),
    isReady: node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True',
    holdsVolume,
  };
}

export function startAttachDetachController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new AttachDetachController(context).run(signal);
}
