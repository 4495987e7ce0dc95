import { formatBytes } from '../eviction/pod-usage.ts';
import type { ThresholdValue } from '../eviction/thresholds.ts';
import type { KubeletConfig } from '../kubelet-config.ts';

const SECOND = 1000;

const valueText = (value: ThresholdValue) =>
  value.kind === 'share' ? `${Math.round(value.share * 1000) / 10}%` : formatBytes(value.amount);

/** Durations as the kubelet prints them: `5m0s`, `30s`. */
function durationText(ms: number): string {
  const seconds = Math.round(ms / SECOND);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}

/** What of our configuration has a name in the kubelet's own: read by tools that compare nodes. Pure. */
export function renderConfigz(config: KubeletConfig): object {
  const { eviction, imageGc, containerLogs, reserved } = config;
  const hard = eviction.thresholds.filter(({ gracePeriodMs }) => gracePeriodMs === 0);
  const soft = eviction.thresholds.filter(({ gracePeriodMs }) => gracePeriodMs > 0);
  const values = (list: typeof hard) => Object.fromEntries(list.map(({ signal, value }) => [signal, valueText(value)]));
  return {
    kubeletconfig: {
      kind: 'KubeletConfiguration',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      port: config.nodeApiPort,
      clusterDomain: config.clusterDomain,
      clusterDNS: config.clusterDns,
      maxPods: config.maxPods,
      cgroupDriver: config.cgroups.driver,
      serializeImagePulls: config.maxParallelPulls === 1,
      maxParallelImagePulls: config.maxParallelPulls,
      imageMinimumGCAge: durationText(imageGc.minAgeMs),
      imageGCHighThresholdPercent: imageGc.highPercent,
      imageGCLowThresholdPercent: imageGc.lowPercent,
      containerLogMaxSize: formatBytes(containerLogs.maxBytes),
      containerLogMaxFiles: containerLogs.maxFiles,
      evictionHard: values(hard),
      ...(soft.length === 0
        ? {}
        : {
            evictionSoft: values(soft),
            evictionSoftGracePeriod: Object.fromEntries(
              soft.map(({ signal, gracePeriodMs }) => [signal, durationText(gracePeriodMs)]),
            ),
          }),
      evictionPressureTransitionPeriod: durationText(eviction.transitionMs),
      evictionMaxPodGracePeriod: eviction.maxPodGraceSeconds,
      systemReserved: { cpu: `${reserved.milliCpu}m`, memory: formatBytes(reserved.memoryBytes) },
      registerWithTaints: config.registerTaints,
    },
  };
}
