import type { FilterPlugin, ScorePlugin } from '../framework/plugin.ts';
import { imageLocalityScore } from './image-locality.ts';
import { interPodAffinity, interPodAffinityScore } from './inter-pod-affinity.ts';
import { nodeAffinity, nodeAffinityScore } from './node-affinity.ts';
import { nodeName } from './node-name.ts';
import { nodePorts } from './node-ports.ts';
import {
  balancedAllocationScore,
  createNodeResourcesFit,
  type IsOfClass,
  leastAllocatedScore,
} from './node-resources.ts';
import { nodeUnschedulable } from './node-unschedulable.ts';
import { nodeVolumeLimits } from './node-volume-limits.ts';
import { taintToleration, taintTolerationScore } from './taint-toleration.ts';
import { topologySpread, topologySpreadScore } from './topology-spread.ts';
import { volumeBinding } from './volume-binding.ts';
import { volumeRestrictions } from './volume-restrictions.ts';
import { volumeZone } from './volume-zone.ts';

/** In Kubernetes' order: the first that turns a node down gives the reason. */
export const defaultFilters = (isOfClass: IsOfClass): readonly FilterPlugin[] => [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  createNodeResourcesFit(isOfClass),
  volumeRestrictions,
  nodeVolumeLimits,
  volumeBinding,
  volumeZone,
  topologySpread,
  interPodAffinity,
];

/** Where resources are what nodes offer, and nothing else. */
export const DEFAULT_FILTERS = defaultFilters(() => false);

export const DEFAULT_SCORES: readonly ScorePlugin[] = [
  taintTolerationScore,
  nodeAffinityScore,
  leastAllocatedScore,
  topologySpreadScore,
  interPodAffinityScore,
  balancedAllocationScore,
  imageLocalityScore,
];
