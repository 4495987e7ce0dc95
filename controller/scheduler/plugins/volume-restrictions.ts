import { type FilterPlugin, reject, SKIP } from '../framework/plugin.ts';

const IN_USE = reject('node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode');

/** A claim for one pod at a time, wherever that is. */
export const volumeRestrictions: FilterPlugin = {
  name: 'VolumeRestrictions',
  prepare({ claims }, { volumes, podCountOfClaim }) {
    const isTaken = claims.some(
      ({ key }) =>
        podCountOfClaim(key) > 0 && volumes.claim(key)?.spec?.accessModes?.includes('ReadWriteOncePod') === true,
    );
    return isTaken ? { kind: 'filter', filter: { check: () => IN_USE } } : SKIP;
  },
  isHelpedBy(event, { claims }) {
    if (event.kind === 'claimChanged') return claims.some(({ key }) => key === event.key);
    if (event.kind !== 'podRemoved') return false;
    return event.pod.claims.some((freed) => claims.some(({ key }) => key === freed.key));
  },
};
