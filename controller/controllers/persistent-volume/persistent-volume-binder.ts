import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import {
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  resources,
  type StorageClass,
} from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { claimsOf, classOf, hasNoClass } from '#api/storage/claims.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';
import { BindingWriter } from './binding-writer.ts';
import { decideClaim } from './decide-claim.ts';
import { claimKeyOf, decideVolume } from './decide-volume.ts';
import { NoticeBoard } from './notice-board.ts';
import { VolumeReclaimer } from './reclaimer.ts';
import type { StorageView } from './storage-view.ts';

const BY_CLASS = 'class';
const BY_CLAIM = 'claimRef';
const UNPLACED = 'unplacedByClaim';

const isPlaced = (pod: Pod) => Boolean(pod.spec?.nodeName);

/** Binds claims to volumes, and sees to the volumes whose claims are gone. Claims and volumes have a queue each. */
class PersistentVolumeBinder {
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  readonly #pods: Informer<Pod>;
  readonly #claimQueue: WorkQueue<ObjectKey>;
  readonly #volumeQueue: WorkQueue<ObjectKey>;
  readonly #view: StorageView;
  readonly #writer: BindingWriter;
  readonly #reclaimer: VolumeReclaimer;
  readonly #claimNotices: NoticeBoard;
  readonly #volumeNotices: NoticeBoard;

  constructor(context: ControllerContext) {
    const { informers } = context;
    this.#claims = informers.informer<PersistentVolumeClaim>(resources.persistentVolumeClaims);
    this.#volumes = informers.informer<PersistentVolume>(resources.persistentVolumes);
    this.#classes = informers.informer<StorageClass>(resources.storageClasses);
    this.#pods = informers.informer<Pod>(resources.pods);
    this.#claims.addIndex(BY_CLASS, (claim) => [classOf(claim)]);
    this.#volumes.addIndex(BY_CLASS, (volume) => [classOf(volume)]);
    this.#volumes.addIndex(BY_CLAIM, (volume) => [claimKeyOf(volume) ?? ''].filter(Boolean));
    this.#pods.addIndex(UNPLACED, (pod) => (isPlaced(pod) ? [] : claimsOf(pod).map(({ key }) => key)));
    // One at a time: two claims would ask for the same volume, and one of them in vain.
    const queue = (name: string, sync: (key: ObjectKey) => Promise<void>) =>
      createControllerQueue<ObjectKey>(context, { name, concurrency: 1, sync });
    this.#claimQueue = queue('persistentvolume-claims', (key) => this.#syncClaim(key));
    this.#volumeQueue = queue('persistentvolume-volumes', (key) => this.#syncVolume(key));
    this.#view = this.#createView();
    this.#writer = new BindingWriter(context.client);
    this.#claimNotices = new NoticeBoard(context, this.#claimQueue);
    this.#volumeNotices = new NoticeBoard(context, this.#volumeQueue);
    this.#reclaimer = new VolumeReclaimer({ context, writer: this.#writer, queue: this.#volumeQueue });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#listen();
    const caches = [this.#claims, this.#volumes, this.#classes, this.#pods];
    await runQueue(this.#volumeQueue, caches, signal);
    // Only what is known to be available is given away: claims would take a larger volume, or complain.
    await this.#volumeQueue.whenIdle();
    await runQueue(this.#claimQueue, caches, signal);
  }

  #createView(): StorageView {
    return {
      claim: (key) => this.#claims.byKey(key),
      volume: (name) => this.#volumes.byKey(objectKey(undefined, name)),
      volumesFor: (claim) => [
        ...this.#volumes.byIndex(BY_CLAIM, keyOf(claim)),
        ...this.#volumes.byIndex(BY_CLASS, classOf(claim)),
      ],
      storageClass: (name) => this.#classes.byKey(objectKey(undefined, name)),
      storageClasses: () => this.#classes.list(),
      podsWaitingFor: (key) => this.#pods.byIndex(UNPLACED, key).map(({ metadata }) => metadata.name),
    };
  }

  #listen(): void {
    const onClaim = (claim: PersistentVolumeClaim) => {
      this.#claimQueue.add(keyOf(claim));
      this.#enqueueVolumesOf(claim);
    };
    followObjects(this.#claims, onClaim, (claim) => {
      this.#claimNotices.forget(keyOf(claim));
      this.#enqueueVolumesOf(claim);
    });
    const onVolume = (volume: PersistentVolume) => this.#onVolume(volume);
    followObjects(this.#volumes, onVolume, (volume) => {
      this.#volumeNotices.forget(keyOf(volume));
      this.#enqueueClaimOf(volume);
    });
    const onClass = ({ metadata }: StorageClass) => {
      this.#enqueueWaiting(metadata.name);
      // It may be the default.
      for (const claim of this.#claims.byIndex(BY_CLASS, '')) if (hasNoClass(claim)) this.#claimQueue.add(keyOf(claim));
    };
    followObjects(this.#classes, onClass);
    const onPod = (pod: Pod) => {
      if (isPlaced(pod)) return;
      for (const { key } of claimsOf(pod)) if (this.#isWaiting(key)) this.#claimQueue.add(key);
    };
    this.#pods.addHandler({ onAdd: onPod });
  }

  #onVolume(volume: PersistentVolume): void {
    this.#volumeQueue.add(keyOf(volume));
    this.#enqueueClaimOf(volume);
    if (volume.status?.phase === 'Available') this.#enqueueWaiting(classOf(volume));
  }

  #enqueueWaiting(className: string): void {
    for (const claim of this.#claims.byIndex(BY_CLASS, className))
      if (claim.status?.phase !== 'Bound') this.#claimQueue.add(keyOf(claim));
  }

  #isWaiting(key: ObjectKey): boolean {
    const claim = this.#claims.byKey(key);
    return claim !== undefined && claim.status?.phase !== 'Bound';
  }

  #enqueueClaimOf(volume: PersistentVolume): void {
    const key = claimKeyOf(volume);
    if (key !== undefined) this.#claimQueue.add(key);
  }

  #enqueueVolumesOf(claim: PersistentVolumeClaim): void {
    const { volumeName } = claim.spec ?? {};
    if (volumeName) this.#volumeQueue.add(objectKey(undefined, volumeName));
    for (const volume of this.#volumes.byIndex(BY_CLAIM, keyOf(claim))) this.#volumeQueue.add(keyOf(volume));
  }

  async #syncClaim(key: ObjectKey): Promise<void> {
    const claim = this.#claims.byKey(key);
    if (claim === undefined) return;
    const action = decideClaim(claim, this.#view);
    switch (action.kind) {
      case 'nothing':
        return;
      case 'bind':
        this.#claimNotices.forget(key);
        return this.#writer.bind(claim, action.volume);
      case 'lose':
        if (await this.#writer.setClaimPhase(claim, 'Lost')) this.#claimNotices.tell(claim, action.notice);
        return;
      case 'giveClass':
        return this.#writer.giveClass(claim, action.className);
      case 'askProvisioner':
        await this.#writer.askProvisioner(claim, action.provisioner);
        this.#claimNotices.tell(claim, action.notice);
        return;
      case 'wait':
        if (action.notice !== undefined) this.#claimNotices.tell(claim, action.notice);
        await this.#writer.setClaimPhase(claim, 'Pending');
    }
  }

  async #syncVolume(key: ObjectKey): Promise<void> {
    const volume = this.#volumes.byKey(key);
    if (volume === undefined) return;
    const action = decideVolume(volume, this.#view);
    switch (action.kind) {
      case 'setPhase':
        return this.#writer.setVolumePhase(volume, action.phase).then(() => {});
      case 'syncClaim':
        return this.#claimQueue.add(action.key);
      case 'refuse':
        this.#volumeNotices.tell(volume, action.notice);
        this.#claimNotices.tell(action.claim, action.claimNotice);
        return;
      case 'unbind':
        return this.#writer.unbind(volume);
      case 'release':
        if (await this.#isReleased(volume)) await this.#reclaimer.release(volume);
    }
  }

  /** Asks the server itself: a cache that is late must not cost anybody's data. */
  async #isReleased(volume: PersistentVolume): Promise<boolean> {
    const { namespace, name = '', uid } = volume.spec?.claimRef ?? {};
    const claim = await this.#writer.fetchClaim(name, namespace);
    if (claim?.metadata.uid !== uid) return true;
    return Boolean(claim?.spec?.volumeName) && claim?.spec?.volumeName !== volume.metadata.name;
  }
}

export function startPersistentVolumeBinder(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new PersistentVolumeBinder(context).run(signal);
}
