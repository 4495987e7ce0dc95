import type { PersistentVolume, Pod, VolumeAttachment } from '#api/object/kinds.ts';

/** A node that is, or was, to have the volume. */
export interface NodeState {
  /** There is no Node. Its machine may run on, cut off, with the volume mounted. */
  readonly isGone: boolean;
  /** Somebody vouches that the machine is off. */
  readonly isOff: boolean;
  readonly isReady: boolean;
  /** By its own word it still holds the volume. */
  readonly holdsVolume: boolean;
}

export interface AttachmentInput {
  readonly volume: PersistentVolume;
  /** Pods on nodes that need the volume, none that has ended. */
  readonly pods: readonly Pod[];
  /** Of this volume, made by us. */
  readonly attachments: readonly VolumeAttachment[];
  readonly node: (name: string) => NodeState;
  /** For how long the attachment has been waiting to go, in ms. */
  readonly waitedMs: (attachment: VolumeAttachment) => number;
}

export interface Refusal {
  readonly pod: Pod;
  readonly message: string;
}

export interface AttachmentPlan {
  /** Nodes to attach to. */
  readonly attach: readonly string[];
  readonly detach: readonly VolumeAttachment[];
  /** Not needed, and in use by the word of their nodes. */
  readonly held: readonly VolumeAttachment[];
  readonly refused: readonly Refusal[];
}

/** A node that does not answer is not waited for longer than this: nobody else could have the volume, ever. */
export const MAX_WAIT_MS = 6 * 60_000;

const nodeOf = (attachment: VolumeAttachment): string => attachment.spec?.nodeName ?? '';

/** Pure. */
export function planAttachments(input: AttachmentInput): AttachmentPlan {
  const { volume, pods, attachments } = input;
  const wanted = new Set(pods.map((pod) => pod.spec?.nodeName ?? ''));
  const idle = attachments.filter(
    (attachment) => !wanted.has(nodeOf(attachment)) && attachment.metadata.deletionTimestamp === undefined,
  );
  const held = idle.filter((attachment) => mustWait(input.node(nodeOf(attachment)), input.waitedMs(attachment)));
  const plan = { detach: idle.filter((attachment) => !held.includes(attachment)), held };
  const present = new Set(attachments.map(nodeOf));
  // One that is on its way out is made again once it is gone.
  const missing = [...wanted].filter((node) => !present.has(node) && canHave(input.node(node))).sort();
  if (isShared(volume)) return { ...plan, attach: missing, refused: [] };
  const attach = present.size === 0 ? missing.slice(0, 1) : [];
  const refused = pods.filter(
    ({ spec }) => missing.includes(spec?.nodeName ?? '') && !attach.includes(spec?.nodeName ?? ''),
  );
  return { ...plan, attach, refused: refused.map((pod) => ({ pod, message: refusalOf(pod, input) })) };
}

const isShared = ({ spec }: PersistentVolume): boolean =>
  (spec?.accessModes ?? []).some((mode) => mode === 'ReadWriteMany' || mode === 'ReadOnlyMany');

const canHave = ({ isGone, isOff }: NodeState): boolean => !isGone && !isOff;

/** Whether an attachment that nobody has needed for `waitedMs` stays. A node that is gone says nothing: it may hold the volume. */
export function mustWait({ isGone, isOff, isReady, holdsVolume }: NodeState, waitedMs: number): boolean {
  if (isOff || !(holdsVolume || isGone)) return false;
  return (isReady && !isGone) || waitedMs < MAX_WAIT_MS;
}

/** Kubernetes' words for a volume that one node alone can have. */
function refusalOf(pod: Pod, { volume, pods }: AttachmentInput): string {
  const head = `Multi-Attach error for volume "${volume.metadata.name}"`;
  const others = pods.filter(({ spec }) => spec?.nodeName !== pod.spec?.nodeName).map(({ metadata }) => metadata.name);
  return others.length === 0
    ? `${head} Volume is already exclusively attached to one node and can't be attached to another`
    : `${head} Volume is already used by pod(s) ${others.join(', ')}`;
}
