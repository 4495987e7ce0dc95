import { classOf, type PodClaim } from '#api/storage/claims.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import { type FilterPlugin, reject, SKIP } from '../framework/plugin.ts';
import type { VolumeView } from '../framework/volume-view.ts';

const EXCEEDED = reject('node(s) exceed max volume count');

interface CsiVolume {
  readonly driver: string;
  /** Equal for equal volumes. */
  readonly id: string;
}

/** Volumes of CSI drivers behind the claims; for a claim without a volume the one that its class will make. */
function csiVolumesOf(claims: readonly PodClaim[], volumes: VolumeView): CsiVolume[] {
  return claims.flatMap(({ key }) => {
    const claim = volumes.claim(key);
    if (claim === undefined) return [];
    const csi = claim.spec?.volumeName ? volumes.volume(claim.spec.volumeName)?.spec?.csi : undefined;
    if (csi !== undefined) return [{ driver: csi.driver, id: `${csi.driver}/${csi.volumeHandle}` }];
    const driver = claim.spec?.volumeName ? undefined : volumes.storageClass(classOf(claim))?.provisioner;
    return driver === undefined ? [] : [{ driver, id: `${driver}/claim ${key}` }];
  });
}

/** Ids by driver of what is, or will be, attached to the node. */
function attachedTo(node: NodeInfo, volumes: VolumeView): Map<string, Set<string>> {
  const byDriver = new Map<string, Set<string>>();
  const add = ({ driver, id }: CsiVolume) => {
    const ids = byDriver.get(driver) ?? new Set();
    byDriver.set(driver, ids.add(id));
  };
  for (const { claims } of node.pods.values()) if (claims.length > 0) csiVolumesOf(claims, volumes).forEach(add);
  for (const { spec } of volumes.attachmentsOf(node.name)) {
    const csi = volumes.volume(spec?.source?.persistentVolumeName ?? '')?.spec?.csi;
    if (csi !== undefined) add({ driver: csi.driver, id: `${csi.driver}/${csi.volumeHandle}` });
  }
  return byDriver;
}

/** As many volumes of a CSI driver as the node says that it can have. */
export const nodeVolumeLimits: FilterPlugin = {
  name: 'NodeVolumeLimits',
  prepare({ claims }, { volumes }) {
    const wanted = claims.length === 0 ? [] : csiVolumesOf(claims, volumes);
    if (wanted.length === 0) return SKIP;
    const check = (node: NodeInfo) => {
      const limits = new Map(
        (volumes.csiNode(node.name)?.spec?.drivers ?? []).map(({ name, allocatable }) => [name, allocatable?.count]),
      );
      if (!wanted.some(({ driver }) => limits.get(driver) !== undefined)) return undefined;
      const attached = attachedTo(node, volumes);
      for (const driver of new Set(wanted.map((volume) => volume.driver))) {
        const limit = limits.get(driver);
        const present = attached.get(driver) ?? new Set();
        const own = new Set(wanted.filter((volume) => volume.driver === driver).map(({ id }) => id)).difference(
          present,
        );
        if (limit !== undefined && own.size > 0 && present.size + own.size > limit) return EXCEEDED;
      }
      return undefined;
    };
    return { kind: 'filter', filter: { check } };
  },
  isHelpedBy(event) {
    if (event.kind === 'podRemoved') return event.pod.claims.length > 0;
    if (event.kind === 'storageChanged') return event.what === 'csiNode' || event.what === 'attachment';
    return event.kind === 'nodeAdded' || event.kind === 'claimChanged';
  },
};
