import type { ContainerSample, NodeSample, PodSample } from './node-sample.ts';

/** A metric of the Prometheus text format with its lines. */
export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly lines: readonly MetricLine[];
}

export interface MetricLine {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
  /** Epoch ms at which it was read, where that is not now. */
  readonly atMs?: number;
}

const escapeLabel = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

export function renderMetrics(metrics: readonly Metric[]): string {
  return metrics
    .filter(({ lines }) => lines.length > 0)
    .map(({ name, type, help, lines }) => {
      const body = lines.map(({ labels = {}, value, atMs }) => {
        const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
        const set = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
        return `${name}${set} ${value}${atMs === undefined ? '' : ` ${Math.round(atMs)}`}\n`;
      });
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${body.join('')}`;
    })
    .join('');
}

interface Placed {
  readonly pod: PodSample;
  readonly container: ContainerSample;
}

const placedOf = ({ pods }: NodeSample): Placed[] =>
  pods.flatMap((pod) => pod.containers.map((container) => ({ pod, container })));

const podLabels = ({ pod }: PodSample) => ({ namespace: pod.metadata.namespace ?? '', pod: pod.metadata.name });
const sum = (pod: PodSample, of: (container: ContainerSample) => number) =>
  pod.containers.reduce((total, container) => total + of(container), 0);

const cpuSeconds = ({ stats }: ContainerSample) => stats.cpuUsageNanoCoreSeconds / 1e9;
const workingSet = ({ stats }: ContainerSample) => stats.memoryWorkingSetBytes;
const swap = ({ stats }: ContainerSample) => stats.swapUsageBytes;

/** `/metrics/resource`: what metrics-server and others read from every kubelet. Pure. */
export function resourceMetrics(sample: NodeSample): string {
  const { atMs, memory, cpu } = sample;
  const perContainer = (of: (container: ContainerSample) => number): MetricLine[] =>
    placedOf(sample).map(({ pod, container }) => ({
      labels: { container: container.name, ...podLabels(pod) },
      value: of(container),
      atMs: container.stats.readAtMs || atMs,
    }));
  const running = sample.pods.filter(({ containers }) => containers.length > 0);
  const perPod = (of: (container: ContainerSample) => number): MetricLine[] =>
    running.map((pod) => ({ labels: podLabels(pod), value: sum(pod, of), atMs }));
  const metric = (name: string, type: Metric['type'], help: string, lines: readonly MetricLine[]): Metric => ({
    name,
    type,
    help: `[STABLE] ${help}`,
    lines,
  });
  const cpuHelp = (whose: string) => `Cumulative cpu time consumed by the ${whose} in core-seconds`;
  const memoryHelp = (whose: string) => `Current working set of the ${whose} in bytes`;
  const started = placedOf(sample).map(({ pod, container }) => ({
    labels: { container: container.name, ...podLabels(pod) },
    value: container.startedAtMs / 1000,
  }));
  const nodeSwap = memory.swapTotalBytes - memory.swapFreeBytes;
  return renderMetrics([
    metric('container_cpu_usage_seconds_total', 'counter', cpuHelp('container'), perContainer(cpuSeconds)),
    metric('container_memory_working_set_bytes', 'gauge', memoryHelp('container'), perContainer(workingSet)),
    metric('container_start_time_seconds', 'gauge', 'Start time of the container since unix epoch in seconds', started),
    metric(
      'container_swap_usage_bytes',
      'gauge',
      'Current amount of the container swap usage in bytes',
      perContainer(swap),
    ),
    metric('node_cpu_usage_seconds_total', 'counter', cpuHelp('node'), [{ value: cpu.usageNanos / 1e9, atMs }]),
    metric('node_memory_working_set_bytes', 'gauge', memoryHelp('node'), [
      { value: memory.totalBytes - memory.availableBytes, atMs },
    ]),
    metric('node_swap_usage_bytes', 'gauge', 'Current swap usage of the node in bytes', [{ value: nodeSwap, atMs }]),
    metric('pod_cpu_usage_seconds_total', 'counter', cpuHelp('pod'), perPod(cpuSeconds)),
    metric('pod_memory_working_set_bytes', 'gauge', memoryHelp('pod'), perPod(workingSet)),
    metric('pod_swap_usage_bytes', 'gauge', 'Current amount of the pod swap usage in bytes', perPod(swap)),
    metric('resource_scrape_error', 'gauge', '1 if there was an error while getting container metrics, 0 otherwise', [
      { value: 0 },
    ]),
  ]);
}

/** `/metrics/cadvisor`: the series that dashboards for Kubernetes are built on, under the names and labels that they use. Pure. */
export function cadvisorMetrics(sample: NodeSample, machine: { readonly cpuCount: number }): string {
  const labelsOf = ({ pod, container }: Placed) => ({
    container: container.name,
    id: container.containerId,
    image: container.imageName,
    name: container.containerId,
    ...podLabels(pod),
  });
  const perContainer = (
    name: string,
    type: Metric['type'],
    help: string,
    of: (container: ContainerSample) => number,
  ): Metric => ({
    name,
    type,
    help,
    lines: placedOf(sample).map((placed) => ({ labels: labelsOf(placed), value: of(placed.container) })),
  });
  const perInterface = (name: string, help: string, of: (one: PodSample['interfaces'][number]) => number): Metric => ({
    name,
    type: 'counter',
    help,
    lines: sample.pods.flatMap((pod) =>
      pod.interfaces.map((one) => ({ labels: { interface: one.name, ...podLabels(pod) }, value: of(one) })),
    ),
  });
  return renderMetrics([
    {
      name: 'container_cpu_usage_seconds_total',
      type: 'counter',
      help: 'Cumulative cpu time consumed in seconds.',
      lines: placedOf(sample).map((placed) => ({
        labels: { ...labelsOf(placed), cpu: 'total' },
        value: cpuSeconds(placed.container),
      })),
    },
    perContainer('container_memory_working_set_bytes', 'gauge', 'Current working set in bytes.', workingSet),
    perContainer(
      'container_memory_usage_bytes',
      'gauge',
      'Current memory usage in bytes.',
      ({ stats }) => stats.memoryUsageBytes,
    ),
    perContainer('container_memory_rss', 'gauge', 'Size of RSS in bytes.', ({ stats }) => stats.memoryRssBytes),
    perContainer('container_memory_swap', 'gauge', 'Container swap usage in bytes.', swap),
    perContainer(
      'container_fs_usage_bytes',
      'gauge',
      'Number of bytes consumed by the container on its writable layer.',
      ({ stats }) => stats.writableLayerBytes,
    ),
    perContainer(
      'container_start_time_seconds',
      'gauge',
      'Start time of the container since unix epoch in seconds.',
      ({ startedAtMs }) => startedAtMs / 1000,
    ),
    perContainer(
      'container_last_seen',
      'gauge',
      'Last time a container was seen by the exporter.',
      () => sample.atMs / 1000,
    ),
    perInterface(
      'container_network_receive_bytes_total',
      'Cumulative count of bytes received.',
      ({ rxBytes }) => rxBytes,
    ),
    perInterface(
      'container_network_transmit_bytes_total',
      'Cumulative count of bytes transmitted.',
      ({ txBytes }) => txBytes,
    ),
    perInterface(
      'container_network_receive_errors_total',
      'Cumulative count of errors encountered while receiving.',
      ({ rxErrors }) => rxErrors,
    ),
    perInterface(
      'container_network_transmit_errors_total',
      'Cumulative count of errors encountered while transmitting.',
      ({ txErrors }) => txErrors,
    ),
    {
      name: 'container_processes',
      type: 'gauge',
      help: 'Number of processes running inside the pod.',
      lines: sample.pods.map((pod) => ({ labels: podLabels(pod), value: pod.processes })),
    },
    {
      name: 'machine_cpu_cores',
      type: 'gauge',
      help: 'Number of logical CPU cores.',
      lines: [{ value: machine.cpuCount }],
    },
    {
      name: 'machine_memory_bytes',
      type: 'gauge',
      help: 'Amount of memory installed on the machine.',
      lines: [{ value: sample.memory.totalBytes }],
    },
  ]);
}
