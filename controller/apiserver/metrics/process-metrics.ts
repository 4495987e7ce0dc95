import { readdir, readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { Metric, renderSamples } from '#base/metric.ts';

const gauge = (name: string, help: string, value: number) => renderSamples('gauge', { name, help }, [[[], value]]);

/** `process_*` by the names of Prometheus' client libraries. Linux tells the descriptors; elsewhere they are left out. */
export async function renderProcessMetrics(): Promise<string> {
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  const startSeconds = (performance.timeOrigin + performance.now()) / 1000 - process.uptime();
  const [openFiles, maxFiles] = await Promise.all([countOpenFiles(), readMaxFiles()]);
  return [
    renderSamples(
      'counter',
      { name: 'process_cpu_seconds_total', help: 'Seconds of processor time, of all threads.' },
      [[[], (user + system) / 1e6]],
    ),
    gauge('process_resident_memory_bytes', 'Resident memory.', memory.rss),
    gauge('process_start_time_seconds', 'When the process began, since the epoch.', startSeconds),
    openFiles === undefined ? '' : gauge('process_open_fds', 'Open files and sockets.', openFiles),
    maxFiles === undefined ? '' : gauge('process_max_fds', 'Most files and sockets that may be open.', maxFiles),
    gauge('nodejs_heap_size_used_bytes', 'Heap in use, of the main thread.', memory.heapUsed),
    gauge('nodejs_external_memory_bytes', 'Memory outside of the heap that it holds on to.', memory.external),
    gauge('nodejs_eventloop_utilization', 'Share of its life that the main thread was busy.', eventLoopUtilization()),
  ].join('');
}

const eventLoopUtilization = () => performance.eventLoopUtilization().utilization;

async function countOpenFiles(): Promise<number | undefined> {
  try {
    return (await readdir('/proc/self/fd')).length;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === undefined) throw err;
    return undefined;
  }
}

async function readMaxFiles(): Promise<number | undefined> {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'));
    return line === null ? undefined : Number(line[1]);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === undefined) throw err;
    return undefined;
  }
}

/** The version that dashboards show. */
export function renderBuildInfo(version: Readonly<Record<string, string>>): string {
  const labels = ['major', 'minor', 'git_version', 'git_commit', 'build_date', 'go_version', 'compiler', 'platform'];
  const metric = new Metric('gauge', { name: 'kubernetes_build_info', help: 'Which version runs.', labels });
  const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  metric.with(...labels.map((name) => version[camel(name)] ?? '')).value = 1;
  return metric.render();
}
