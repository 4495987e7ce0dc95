/**
 * Scheduling cycles alone, without the API: `node bench/scheduler.ts [nodes] [pods]`. Prints placements per second for several kinds of pods.
 */
import type { Pod } from '#api/object/kinds.ts';
import { createPodInfo } from '#controller/scheduler/cache/pod-info.ts';
import { schedulePod } from '#controller/scheduler/framework/schedule-pod.ts';
import { DEFAULT_FILTERS, DEFAULT_SCORES } from '#controller/scheduler/plugins/default-plugins.ts';
import { makeCluster, makePod, type PodDraft } from '#controller/scheduler/testing/builders.ts';

const NODES = Number(process.argv[2] ?? 5000);
const PODS = Number(process.argv[3] ?? 5000);
const ZONE = 'topology.kubernetes.io/zone';
const labels = { app: 'web' };
const profile = { filters: DEFAULT_FILTERS, scores: DEFAULT_SCORES };

const CASES: Readonly<Record<string, PodDraft>> = {
  'plain, spread by default': { labels },
  'node affinity': { labels, spec: { nodeSelector: { pool: 'a' } } },
  'topology spread over zones': {
    labels,
    spec: {
      topologySpreadConstraints: [
        { maxSkew: 5, topologyKey: ZONE, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: labels } },
      ],
    },
  },
  'anti-affinity between hosts': {
    labels,
    spec: {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: labels } },
          ],
        },
      },
    },
  },
};

function measure(draft: PodDraft): string {
  const { cache, view } = makeCluster({
    nodes: Array.from({ length: NODES }, (_, i) => ({
      name: `node-${i}`,
      labels: { [ZONE]: `zone-${i % 3}`, pool: i % 2 === 0 ? 'a' : 'b' },
      allocatable: { cpu: '16', memory: '64Gi' },
    })),
    siblingLabels: labels,
  });
  const pods: Pod[] = Array.from({ length: PODS }, (_, i) =>
    makePod({ ...draft, name: `pod-${i}`, requests: { cpu: '100m', memory: '128Mi' } }),
  );
  let start = 0;
  let placed = 0;
  const startMs = performance.now();
  for (const pod of pods) {
    const info = createPodInfo(pod);
    const result = schedulePod(info, view, { profile, start, random: Math.random });
    start = result.nextStart;
    if (result.kind !== 'placed') continue;
    cache.assume(info, result.nodeName);
    placed += 1;
  }
  const perSecond = Math.round((placed / (performance.now() - startMs)) * 1000);
  return `${perSecond.toLocaleString('en')}/s (${placed} of ${PODS})`;
}

console.table(Object.entries(CASES).map(([pods, draft]) => ({ pods, [`placed onto ${NODES} nodes`]: measure(draft) })));
