import { type FilterPlugin, rejectForGood, SKIP } from '../framework/plugin.ts';
import type { Labels } from './node-selector-terms.ts';

const CONFLICT = rejectForGood('node(s) had no available volume zone');

/** Labels of volumes and nodes by what nodes call them today. */
const TODAY: Readonly<Record<string, string>> = {
  'topology.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region': 'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
};
const KEYS = Object.keys(TODAY);

interface Place {
  readonly key: string;
  readonly values: readonly string[];
}

/** A volume that is in several zones names them with `__` between. */
const placesOf = (labels: Labels): Place[] =>
  KEYS.flatMap((key) => (labels[key] === undefined ? [] : [{ key, values: labels[key].split('__') }]));

const isAt = ({ key, values }: Place, labels: Labels): boolean =>
  values.includes(labels[key] ?? labels[TODAY[key]!] ?? '');

/** For volumes that say in labels where they are. A node that says nothing of zones is taken to be anywhere. */
export const volumeZone: FilterPlugin = {
  name: 'VolumeZone',
  prepare({ claims }, { volumes }) {
    const places = claims.flatMap(({ key }) => {
      const name = volumes.claim(key)?.spec?.volumeName;
      return placesOf((name && volumes.volume(name)?.metadata.labels) || {});
    });
    if (places.length === 0) return SKIP;
    const hasPlace = (labels: Labels) => KEYS.some((key) => labels[key] !== undefined);
    return {
      kind: 'filter',
      filter: {
        check: ({ labels }) =>
          !hasPlace(labels) || places.every((place) => isAt(place, labels)) ? undefined : CONFLICT,
      },
    };
  },
  isHelpedBy: (event) =>
    event.kind === 'nodeAdded' ||
    event.kind === 'claimChanged' ||
    (event.kind === 'nodeUpdated' && event.changes.labels) ||
    (event.kind === 'storageChanged' && event.what === 'volume'),
};
