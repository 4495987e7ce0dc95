import type { VolumeUse } from '../volumes/volume-stats.ts';
import type { Metric } from './metrics-text.ts';

type Read = (use: VolumeUse) => number | undefined;

const SERIES: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['capacity_bytes', 'Capacity in bytes of the volume', ({ bytes }) => bytes.total],
  ['available_bytes', 'Number of available bytes in the volume', ({ bytes }) => bytes.free],
  ['used_bytes', 'Number of used bytes in the volume', ({ bytes }) => bytes.used],
  ['inodes', 'Maximum number of inodes in the volume', ({ inodes }) => inodes.total],
  ['inodes_free', 'Number of free inodes in the volume', ({ inodes }) => inodes.free],
  ['inodes_used', 'Number of used inodes in the volume', ({ inodes }) => inodes.used],
];

/** `kubelet_volume_stats_*`: how full the volumes of claims are, each claim once however many pods use it. Pure. */
export function volumeMetrics(uses: readonly VolumeUse[]): Metric[] {
  const byClaim = new Map(
    uses.flatMap((use) =>
      use.claim === undefined ? [] : [[`${use.claim.namespace}/${use.claim.name}`, use] as const],
    ),
  );
  return SERIES.map(([name, help, read]) => ({
    name: `kubelet_volume_stats_${name}`,
    type: 'gauge',
    help: `[ALPHA] ${help}`,
    lines: [...byClaim.values()].flatMap((use) => {
      const value = read(use);
      if (value === undefined) return [];
      return { labels: { namespace: use.claim?.namespace ?? '', persistentvolumeclaim: use.claim?.name ?? '' }, value };
    }),
  }));
}
