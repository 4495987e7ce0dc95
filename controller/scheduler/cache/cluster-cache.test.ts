import { describe, expect, it } from 'vitest';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { makeNode, podInfo } from '../testing/builders.ts';
import { ClusterCache } from './cluster-cache.ts';
import type { PodInfo } from './pod-info.ts';

const ZONE = 'topology.kubernetes.io/zone';
const QUERY = {
  namespace: 'default',
  selector: labelSelectorFrom({ matchLabels: { app: 'web' } }),
  selectorId: 'web',
  ignoresTerminating: true,
};
const ANTI_AFFINITY = {
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: ZONE, labelSelector: { matchLabels: { app: 'web' } } },
      ],
    },
  },
};

/** Deterministic, so that a failure can be repeated. */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('ClusterCache', () => {
  it('keeps sums, counts and terms right through any sequence of changes', () => {
    const random = randomSource(11);
    const cache = new ClusterCache();
    const placed = new Map<string, { info: PodInfo; nodeName: string }>();
    const zones = new Map<string, string>();
    for (let step = 0; step < 3000; step++) {
      const nodeName = `n${random(6)}`;
      const name = `p${random(40)}`;
      const dice = random(10);
      if (dice === 0) {
        zones.set(nodeName, `z${random(3)}`);
        cache.setNode(makeNode({ name: nodeName, labels: { [ZONE]: zones.get(nodeName)! } }));
      } else if (dice === 1) {
        zones.delete(nodeName);
        cache.removeNode(nodeName);
      } else if (dice < 4) {
        cache.removePod(podInfo({ name }).key);
        placed.delete(name);
      } else {
        const labels = { app: random(2) === 0 ? 'web' : 'db' };
        const spec = random(3) === 0 ? ANTI_AFFINITY : {};
        const info = podInfo({ name, labels, spec, requests: { cpu: `${random(5) + 1}` }, hostPorts: [random(5) + 1] });
        if (dice < 7) cache.setPod(info, nodeName);
        else cache.assume(info, nodeName);
        placed.set(name, { info, nodeName });
      }
      const byZone = new Map<string, number>();
      const repelling = new Map<string, number>();
      for (const { info, nodeName: at } of placed.values()) {
        const zone = zones.get(at);
        if (zone === undefined) continue;
        if (info.labels.app === 'web') byZone.set(zone, (byZone.get(zone) ?? 0) + 1);
        if (info.affinity !== undefined) repelling.set(zone, (repelling.get(zone) ?? 0) + 1);
      }
      expect(new Map(cache.counts.byDomain(QUERY, ZONE))).toEqual(byZone);
      const terms = [...cache.terms.of('requiredAntiAffinity')];
      expect(new Map(terms.flatMap((term) => [...term.byDomain]))).toEqual(repelling);
    }
    for (const node of cache.nodes) {
      const here = [...placed.values()].filter((entry) => entry.nodeName === node.name).map((entry) => entry.info);
      expect(node.milliCpu).toBe(here.reduce((sum, info) => sum + info.requests.milliCpu, 0));
      expect(node.hasPortConflict({ ip: '0.0.0.0', protocol: 'TCP', port: 3 })).toBe(
        here.some((info) => info.hostPorts[0]?.port === 3),
      );
    }
  });

  it('keeps an assumed pod until it is confirmed or forgotten', () => {
    const cache = new ClusterCache();
    cache.setNode(makeNode({ name: 'a' }));
    const info = podInfo({ requests: { cpu: '1' } });
    cache.assume(info, 'a');
    expect([cache.isAssumed(info.key), cache.node('a')?.milliCpu]).toEqual([true, 1000]);
    cache.setPod(info, 'a');
    cache.forget(info.key);
    expect([cache.isAssumed(info.key), cache.node('a')?.milliCpu]).toEqual([false, 1000]);
    cache.assume(podInfo({ name: 'other', requests: { cpu: '1' } }), 'a');
    cache.forget(podInfo({ name: 'other' }).key);
    expect(cache.node('a')?.milliCpu).toBe(1000);
  });
});
