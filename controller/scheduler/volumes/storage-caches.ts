import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { InformerFactory } from '#api/client/informer-factory.ts';
import {
  type CSIDriver,
  type CSINode,
  type CSIStorageCapacity,
  type PersistentVolume,
  type PersistentVolumeClaim,
  resources,
  type StorageClass,
  type VolumeAttachment,
} from '#api/object/kinds.ts';
import { keyOf, type Stored } from '#api/object/kube-object.ts';
import { VolumeCache } from '../cache/volume-cache.ts';
import type { ClusterEvent, StorageChange } from '../framework/cluster-event.ts';

export interface StorageCaches {
  readonly cache: VolumeCache;
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  /** All that must be complete before pods are placed. */
  readonly informers: readonly Pick<Informer<Stored<object>>, 'waitForSync'>[];
  /** From now on changes that may help a pod are told. */
  watch(onEvent: (event: ClusterEvent) => void): void;
}

/** Informers of everything that decides where a pod's volumes can be. */
export function createStorageCaches(factory: InformerFactory): StorageCaches {
  const claims = factory.informer<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const volumes = factory.informer<PersistentVolume>(resources.persistentVolumes);
  const storageClasses = factory.informer<StorageClass>(resources.storageClasses);
  const csiDrivers = factory.informer<CSIDriver>(resources.csiDrivers);
  const csiNodes = factory.informer<CSINode>(resources.csiNodes);
  const capacities = factory.informer<CSIStorageCapacity>(resources.csiStorageCapacities);
  const attachments = factory.informer<VolumeAttachment>(resources.volumeAttachments);
  const cache = new VolumeCache({ claims, volumes, storageClasses, csiDrivers, csiNodes, capacities, attachments });

  function watch(onEvent: (event: ClusterEvent) => void): void {
    const onClaim = (claim: PersistentVolumeClaim) => {
      cache.noteChange();
      onEvent({ kind: 'claimChanged', key: keyOf(claim) });
    };
    const onVolume = () => {
      cache.noteChange();
      onEvent({ kind: 'storageChanged', what: 'volume' });
    };
    const tell = (what: StorageChange) => () => onEvent({ kind: 'storageChanged', what });
    const anew = (act: () => void): InformerHandler<Stored<object>> => ({ onAdd: act, onUpdate: act });
    claims.addHandler({ onAdd: onClaim, onUpdate: (_, claim) => onClaim(claim), onDelete: onClaim });
    volumes.addHandler({ onAdd: onVolume, onUpdate: onVolume, onDelete: onVolume });
    storageClasses.addHandler(anew(tell('class')));
    csiDrivers.addHandler(anew(tell('driver')));
    csiNodes.addHandler(anew(tell('csiNode')));
    capacities.addHandler(anew(tell('capacity')));
    attachments.addHandler({ onDelete: tell('attachment') });
  }

  const informers = [claims, volumes, storageClasses, csiDrivers, csiNodes, capacities, attachments];
  return { cache, claims, volumes, informers, watch };
}
