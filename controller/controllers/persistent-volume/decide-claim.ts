import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/object/kinds.ts';
import { keyOf } from '#api/object/kube-object.ts';
import {
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  classOf,
  hasNoClass,
  SELECTED_NODE,
  waitsForConsumer,
} from '#api/storage/claims.ts';
import { belongsTo, matchingVolumes, mismatchOf } from '#api/storage/match-volume.ts';
import type { Notice, StorageView } from './storage-view.ts';

/** What is to be done about a claim. */
export type ClaimAction =
  | { readonly kind: 'bind'; readonly volume: PersistentVolume }
  | { readonly kind: 'wait'; readonly notice?: Notice }
  | { readonly kind: 'lose'; readonly notice: Notice }
  | { readonly kind: 'giveClass'; readonly className: string }
  | { readonly kind: 'askProvisioner'; readonly provisioner: string; readonly notice: Notice }
  | { readonly kind: 'nothing' };

const wait = (type: Notice['type'], reason: string, message: string): ClaimAction => ({
  kind: 'wait',
  notice: { type, reason, message },
});
const lose = (reason: string, message: string): ClaimAction => ({
  kind: 'lose',
  notice: { type: 'Warning', reason, message },
});

/** Pure. Reasons and messages are those that users of Kubernetes search for. */
export function decideClaim(claim: PersistentVolumeClaim, view: StorageView): ClaimAction {
  if (claim.metadata.annotations?.[BIND_COMPLETED] !== undefined) return decideBound(claim, view);
  if (claim.metadata.deletionTimestamp !== undefined) return { kind: 'nothing' };
  return claim.spec?.volumeName ? decideNamed(claim, claim.spec.volumeName, view) : decideUnbound(claim, view);
}

function decideBound(claim: PersistentVolumeClaim, view: StorageView): ClaimAction {
  const name = claim.spec?.volumeName;
  if (!name)
    return lose('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  const volume = view.volume(name);
  if (volume === undefined)
    return lose('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const ref = volume.spec?.claimRef;
  if (ref === undefined || ref.uid === claim.metadata.uid) return { kind: 'bind', volume };
  return belongsTo(volume, claim)
    ? { kind: 'bind', volume }
    : lose('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

/** Somebody, or the scheduler, has said which volume it is to be. */
function decideNamed(claim: PersistentVolumeClaim, name: string, view: StorageView): ClaimAction {
  const volume = view.volume(name);
  if (volume === undefined) return { kind: 'wait' };
  if (volume.spec?.claimRef === undefined) {
    const mismatch = mismatchOf(volume, claim);
    if (mismatch === undefined) return { kind: 'bind', volume };
    return wait('Warning', 'VolumeMismatch', `Cannot bind to requested volume "${name}": ${mismatch}`);
  }
  if (belongsTo(volume, claim)) return { kind: 'bind', volume };
  if (claim.metadata.annotations?.[BOUND_BY_CONTROLLER] !== undefined)
    throw new Error(`invalid binding of claim "${keyOf(claim)}" to volume "${name}": the volume is claimed by another`);
  return wait('Warning', 'FailedBinding', `volume "${name}" already bound to a different claim.`);
}

function decideUnbound(claim: PersistentVolumeClaim, view: StorageView): ClaimAction {
  const isLate = waitsForConsumer(view.storageClass(classOf(claim)));
  const [volume] = matchingVolumes(claim, view.volumesFor(claim));
  // Where claims wait for a pod the scheduler chooses; what is made for the claim needs no choice.
  if (volume !== undefined && (!isLate || volume.spec?.claimRef !== undefined)) return { kind: 'bind', volume };
  if (hasNoClass(claim)) {
    const className = defaultClass(view.storageClasses());
    if (className !== undefined) return { kind: 'giveClass', className };
  }
  if (isLate && claim.metadata.annotations?.[SELECTED_NODE] === undefined) return waitForConsumer(claim, view);
  if (classOf(claim) !== '') return provision(claim, view);
  const message = 'no persistent volumes available for this claim and no storage class is set';
  return wait('Normal', 'FailedBinding', message);
}

function waitForConsumer(claim: PersistentVolumeClaim, view: StorageView): ClaimAction {
  const pods = view.podsWaitingFor(keyOf(claim));
  if (pods.length === 0)
    return wait('Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding');
  const plural = pods.length > 1 ? 's' : '';
  return wait('Normal', 'WaitForPodScheduled', `waiting for pod${plural} ${pods.join(',')} to be scheduled`);
}

function provision(claim: PersistentVolumeClaim, view: StorageView): ClaimAction {
  const className = classOf(claim);
  const provisioner = view.storageClass(className)?.provisioner;
  if (provisioner === undefined)
    return wait('Warning', 'ProvisioningFailed', `storageclass.storage.k8s.io "${className}" not found`);
  // Names that Kubernetes keeps for what was built into it; nothing is built in here.
  if (provisioner.startsWith('kubernetes.io/'))
    return wait('Warning', 'ProvisioningFailed', `no volume plugin matched name: ${provisioner}`);
  const message =
    `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. ` +
    'If volume creation is delayed, please verify that the provisioner is running and correctly registered.';
  return { kind: 'askProvisioner', provisioner, notice: { type: 'Normal', reason: 'ExternalProvisioning', message } };
}

const DEFAULT_MARKERS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

/** Of several the newest, then the first by name: as for claims that are made while it is there. */
function defaultClass(classes: readonly StorageClass[]): string | undefined {
  const marked = classes.filter(({ metadata }) =>
    DEFAULT_MARKERS.some((one) => metadata.annotations?.[one] === 'true'),
  );
  const createdAt = ({ metadata }: StorageClass) => Date.parse(metadata.creationTimestamp) || 0;
  marked.sort((a, b) => createdAt(b) - createdAt(a) || (a.metadata.name < b.metadata.name ? -1 : 1));
  return marked[0]?.metadata.name;
}
