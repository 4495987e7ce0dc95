import type { PodReference } from './pod-lookups.ts';

/** What the node's API tells about the node as a whole; implemented over the kubelet's state. Each may throw NodeApiError. */
export interface NodeReports {
  /** `/stats/summary`; with `onlyCpuAndMemory` no disk is walked. */
  summary(onlyCpuAndMemory: boolean): Promise<object>;
  /** Prometheus text of `/metrics`, `/metrics/resource`, `/metrics/cadvisor` or `/metrics/probes`. */
  metrics(which: MetricsKind): Promise<string>;
  /** `/configz`: the configuration in effect, in the kubelet's form. */
  configz(): object;
  /** Writes the state of a running container into an archive and returns its path; 404 where the runtime cannot. */
  checkpoint(pod: PodReference, container: string, timeoutSeconds: number): Promise<string>;
}

export type MetricsKind = 'own' | 'resource' | 'cadvisor' | 'probes';
